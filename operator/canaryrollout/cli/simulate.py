"""`canaryrollout simulate`: what a policy would do, on simulated traffic or on the deployments in Prometheus's history."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canaryrollout.cli.exits import fail

if TYPE_CHECKING:
    from canaryrollout.api.spec import CanaryRolloutSpec, Step
    from canaryrollout.simulate.many import Run
    from canaryrollout.simulate.traffic import Traffic


class Output(StrEnum):
    """How the result is written."""

    TABLE = "table"
    JSON = "json"


def _option(text: str, panel: str = "Traffic", *, least: float | None = None, most: float | None = None) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, min=least, max=most)


HISTORY = "History"


def simulate(  # noqa: PLR0917 - each option of the command is one
    file: Annotated[Path, typer.Option("--file", "-f", help="YAML or JSON file, folder, or - for standard input, with one CanaryRollout.")],
    rps: Annotated[float, _option("Requests per second, of both versions together.", least=0.01, most=100_000)] = 50.0,
    canary_errors: Annotated[str, _option("Share of the canary's requests that fail.")] = "0%",
    stable_errors: Annotated[str, _option("Share of stable's requests that fail.")] = "0%",
    canary_slow: Annotated[str, _option("Share of the canary's answers above the latency limit.")] = "0%",
    stable_slow: Annotated[str, _option("Share of stable's answers above the latency limit.")] = "0%",
    burst: Annotated[int, _option("Errors come in clumps of so many.", least=1, most=10_000)] = 1,
    fault_from_weight: Annotated[int, _option("The canary is like stable below this weight.", least=0, most=100)] = 0,
    fault_after: Annotated[str, _option("The canary is like stable for so long after its first request.")] = "0s",
    shared_errors: Annotated[str, _option("Share of both versions' requests that fail besides.")] = "0%",
    shared_after: Annotated[str, _option("When that begins.")] = "0s",
    scrape_interval: Annotated[str, _option("Of Prometheus.")] = "15s",
    pods: Annotated[int, _option("Pods of each version.", least=1, most=100)] = 2,
    runs: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many rollouts.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 1,
    output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.TABLE,
    picture: Annotated[Path | None, typer.Option(help="Draw the median run to this .svg or .png file.")] = None,
    prometheus_url: Annotated[str | None, _option("Replay real deployments instead, as this Prometheus remembers them.", HISTORY)] = None,
    service: Annotated[str | None, _option("Service whose deployments to replay; default: the CanaryRollout's.", HISTORY)] = None,
    namespace: Annotated[str | None, _option("Its namespace; default: the CanaryRollout's.", HISTORY)] = None,
    since: Annotated[str, _option("How far to look back, such as 30d or 12h.", HISTORY)] = "30d",
    bearer_token_file: Annotated[Path | None, _option("File with a token for Prometheus.", HISTORY)] = None,
) -> None:
    """Say how a CanaryRollout would end: many runs of the operator's own engine on simulated traffic, or on past deployments."""
    from canaryrollout.cli.manifests import read  # noqa: PLC0415 - keeps --help quick
    from canaryrollout.cli.offline import select, spec_of  # noqa: PLC0415
    from canaryrollout.simulate.picture import check_path  # noqa: PLC0415
    from canaryrollout.simulate.traffic import Traffic  # noqa: PLC0415

    with _refusing():
        if picture is not None:
            check_path(picture)
        files = select(read([str(file)]), "default")
        spec = _without_custom_metrics(spec_of(files.rollout))
        if prometheus_url is not None:
            spec = _with_one_latency(spec)
            subject = service or spec.service, namespace or files.namespace
            _replay_history(spec, subject, prometheus_url, bearer_token_file, since=_since(since), seed=seed, output=output)
            return
        given: dict[str, Any] = {
            **_ratios(canary_errors=canary_errors, stable_errors=stable_errors, shared_errors=shared_errors),
            **_ratios(canary_slow=canary_slow, stable_slow=stable_slow),
            **_durations(fault_after=fault_after, shared_after=shared_after, scrape_interval=scrape_interval),
        }
        if not 1.0 <= given["scrape_interval"] <= 300.0:
            fail("--scrape-interval must be between 1s and 5m")
        traffic = Traffic(rps=rps, burst=burst, fault_from_weight=fault_from_weight, pods=pods, **given)
        _run(spec, traffic, runs, seed=seed, output=output, picture=picture)


@contextmanager
def _refusing() -> Iterator[None]:
    """What a user can mend becomes one line."""
    from canaryrollout.cli.manifests import ManifestsError  # noqa: PLC0415
    from canaryrollout.metrics.errors import PrometheusError  # noqa: PLC0415
    from canaryrollout.simulate.picture import PictureError  # noqa: PLC0415

    try:
        yield
    except (ManifestsError, PictureError) as error:
        fail(str(error))
    except PrometheusError as error:
        fail(error.problem.message)


def _ratios(**options: str) -> dict[str, float]:
    from canaryrollout.api.quantities import parse_ratio  # noqa: PLC0415

    return {name: _parsed(name, parse_ratio, value) for name, value in options.items()}


def _durations(**options: str) -> dict[str, float]:
    from canaryrollout.api.quantities import parse_duration  # noqa: PLC0415

    return {name: _parsed(name, parse_duration, value) for name, value in options.items()}


def _parsed(name: str, parse: Callable[[str], float], value: str) -> float:
    try:
        return parse(value)
    except ValueError as error:
        fail(f"--{name.replace('_', '-')}: {error}")


def _since(value: str) -> float:
    """Days are no unit of the API, but of histories."""
    days = value.endswith("d") and value[:-1].isdigit()
    seconds = int(value[:-1]) * 86_400.0 if days else _durations(since=value)["since"]
    if not 3600.0 <= seconds <= 90 * 86_400.0:
        fail("--since must be between 1h and 90d")
    return seconds


def _without_custom_metrics(spec: "CanaryRolloutSpec") -> "CanaryRolloutSpec":
    if not spec.analysis.metrics:
        return spec
    typer.echo("note: custom metrics (spec.analysis.metrics) are left out: only requests are simulated", err=True)
    return spec.model_copy(update={"analysis": spec.analysis.model_copy(update={"metrics": ()})})


def _with_one_latency(spec: "CanaryRolloutSpec") -> "CanaryRolloutSpec":
    """History is counted before it is known at which step it will be judged."""
    if all(step.analysis is None or step.analysis.max_p99_latency is None for step in spec.steps):
        return spec
    typer.echo("note: maxP99Latency of single steps is left out: the history is counted by that of spec.analysis", err=True)

    def plain(step: "Step") -> "Step":
        return step.model_copy(update={"analysis": step.analysis.model_copy(update={"max_p99_latency": None})}) if step.analysis else step

    return spec.model_copy(update={"steps": tuple(map(plain, spec.steps))})


def _replay_history(
    spec: "CanaryRolloutSpec", names: tuple[str, str], url: str, token: Path | None, *, since: float, seed: int, output: Output
) -> None:
    from canaryrollout.cli.backtest import backtest, show  # noqa: PLC0415
    from canaryrollout.metrics.endpoint import PrometheusEndpoint  # noqa: PLC0415
    from canaryrollout.simulate.backtest import Subject  # noqa: PLC0415

    if not url.startswith(("http://", "https://")):
        fail("--prometheus-url must begin with http:// or https://")
    if token is not None and not token.is_file():
        fail(f"--bearer-token-file: there is no file {token}")
    endpoint = PrometheusEndpoint(url=url.rstrip("/"), bearer_token_file=token, timeout=60.0, max_body=64 * 1024 * 1024)
    subject = Subject(*names)
    show(backtest(endpoint, subject, spec, since, seed), subject, since, as_json=output is Output.JSON)


def _run(spec: "CanaryRolloutSpec", traffic: "Traffic", runs: int, *, seed: int, output: Output, picture: Path | None) -> None:
    from canaryrollout.simulate.many import run_many  # noqa: PLC0415
    from canaryrollout.simulate.report import as_json, as_lines, headline  # noqa: PLC0415

    found = run_many(spec, traffic, runs, seed=seed)
    if output is Output.JSON:
        typer.echo(json.dumps(as_json(found), indent=2))
    else:
        typer.echo(f"{runs:,} rollouts of {spec.service} to {spec.version}: {headline(traffic)}\n")
        for line in as_lines(found):
            typer.echo(line)
    if picture is not None:
        _draw(spec, traffic, found, picture)


def _draw(spec: "CanaryRolloutSpec", traffic: "Traffic", runs: "list[Run]", path: Path) -> None:
    from canaryrollout.simulate.many import run_one  # noqa: PLC0415
    from canaryrollout.simulate.picture import draw, save  # noqa: PLC0415
    from canaryrollout.simulate.replay import Shell  # noqa: PLC0415
    from canaryrollout.simulate.report import WORDS, headline, spell_seconds  # noqa: PLC0415
    from canaryrollout.simulate.summary import median_run  # noqa: PLC0415
    from canaryrollout.simulate.trace import Recorder  # noqa: PLC0415

    recorder = Recorder(spec)
    run = run_one(spec, traffic, Shell(), median_run(runs).seed, watch=recorder)
    title = f"{spec.service} to {spec.version}: {WORDS[run.outcome]} after {spell_seconds(run.seconds)}"
    save(draw(title, [headline(traffic), run.explanation], recorder.points, recorder.limits), path)
    typer.echo(f"{path}: the median run (seed {run.seed})", err=True)
