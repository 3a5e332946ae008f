"""`canaryrollout simulate`: what a policy would do, on simulated traffic or on the deployments in Prometheus's history."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from canaryrollout.api.spec import CanaryRolloutSpec
    from canaryrollout.simulate.many import Run
    from canaryrollout.simulate.replay import Shell
    from canaryrollout.simulate.traffic import Traffic


class Output(StrEnum):
    """How the result is written."""

    TABLE = "table"
    JSON = "json"


File = Annotated[Path, typer.Option("--file", "-f", help="YAML file with the CanaryRollout.")]
Rps = Annotated[float, typer.Option(min=0.01, max=100_000, help="Requests per second, both versions together.")]


def simulate(  # noqa: PLR0917 - each option of the command is one
    file: File,
    rps: Rps = 50.0,
    canary_errors: Annotated[str, typer.Option(help="Share of the canary's requests that fail.")] = "0%",
    stable_errors: Annotated[str, typer.Option(help="Share of stable's requests that fail.")] = "0%",
    canary_slow: Annotated[str, typer.Option(help="Share of the canary's answers above the latency limit.")] = "0%",
    stable_slow: Annotated[str, typer.Option(help="Share of stable's answers above the latency limit.")] = "0%",
    burst: Annotated[int, typer.Option(min=1, max=10_000, help="Errors come in clumps of so many.")] = 1,
    fault_from_weight: Annotated[int, typer.Option(min=0, max=100, help="The canary is like stable below this weight.")] = 0,
    fault_after: Annotated[str, typer.Option(help="The canary is like stable for so long after its first request.")] = "0s",
    shared_errors: Annotated[str, typer.Option(help="Share of all requests that fail besides, of both versions.")] = "0%",
    shared_after: Annotated[str, typer.Option(help="From so long after the start on.")] = "0s",
    scrape_interval: Annotated[str, typer.Option(help="Of Prometheus.")] = "15s",
    pods: Annotated[int, typer.Option(min=1, max=100, help="Pods of each version.")] = 2,
    runs: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many rollouts.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 1,
    output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.TABLE,
    picture: Annotated[Path | None, typer.Option(help="Draw the median run to this .svg or .png file.")] = None,
) -> None:
    """Run a CanaryRollout many times on simulated traffic, with the operator's own engine, and say how it ends."""
    from canaryrollout.simulate.manifest import ManifestError, read_spec  # noqa: PLC0415 - keeps --help quick
    from canaryrollout.simulate.many import run_many  # noqa: PLC0415
    from canaryrollout.simulate.picture import PictureError, check_path  # noqa: PLC0415
    from canaryrollout.simulate.replay import Shell  # noqa: PLC0415
    from canaryrollout.simulate.traffic import Traffic  # noqa: PLC0415

    try:
        if picture is not None:
            check_path(picture)
        spec = read_spec(file)
        traffic = Traffic(
            rps=rps,
            canary_errors=_ratio("--canary-errors", canary_errors),
            stable_errors=_ratio("--stable-errors", stable_errors),
            canary_slow=_ratio("--canary-slow", canary_slow),
            stable_slow=_ratio("--stable-slow", stable_slow),
            burst=burst,
            fault_from_weight=fault_from_weight,
            fault_after=_duration("--fault-after", fault_after),
            shared_errors=_ratio("--shared-errors", shared_errors),
            shared_after=_duration("--shared-after", shared_after),
            scrape_interval=_duration("--scrape-interval", scrape_interval),
            pods=pods,
        )
        if not 1.0 <= traffic.scrape_interval <= 300.0:
            refuse("--scrape-interval must be between 1s and 5m")
        if spec.analysis.metrics:
            typer.echo("note: custom metrics (spec.analysis.metrics) are not simulated; the rollouts run without them", err=True)
            spec = spec.model_copy(update={"analysis": spec.analysis.model_copy(update={"metrics": ()})})
        shell = Shell()
        found = run_many(spec, traffic, runs, seed=seed, shell=shell)
        _show(spec, traffic, found, output)
        if picture is not None:
            _draw(spec, traffic, shell, found, picture)
    except (ManifestError, PictureError) as error:
        refuse(str(error))


def refuse(message: str) -> NoReturn:
    """One line on standard error, exit code 2."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(2)


def _ratio(option: str, value: str) -> float:
    from canaryrollout.api.quantities import parse_ratio  # noqa: PLC0415

    return _parsed(option, parse_ratio, value)


def _duration(option: str, value: str) -> float:
    from canaryrollout.api.quantities import parse_duration  # noqa: PLC0415

    return _parsed(option, parse_duration, value)


def _parsed(option: str, parse: Any, value: str) -> float:
    try:
        return float(parse(value))
    except ValueError as error:
        refuse(f"{option}: {error}")


def _headline(spec: "CanaryRolloutSpec", traffic: "Traffic", runs: int) -> str:
    from canaryrollout.api.quantities import format_ratio  # noqa: PLC0415

    parts = [f"{traffic.rps:g} requests/s", f"scraped every {traffic.scrape_interval:g} s"]
    clumps = f" in clumps of {traffic.burst}" if traffic.burst > 1 else ""
    parts.append(f"errors of the canary {format_ratio(traffic.canary_errors)}, of stable {format_ratio(traffic.stable_errors)}{clumps}")
    if traffic.canary_slow or traffic.stable_slow:
        parts.append(f"slow {format_ratio(traffic.canary_slow)} and {format_ratio(traffic.stable_slow)}")
    if traffic.shared_errors:
        parts.append(f"of both {format_ratio(traffic.shared_errors)} more from {traffic.shared_after:g} s on")
    if traffic.fault_from_weight or traffic.fault_after:
        parts.append(f"the canary's fault from {traffic.fault_from_weight} % and {traffic.fault_after:g} s on")
    return f"{runs:,} rollouts of {spec.service} to {spec.version}: {', '.join(parts)}"


def _show(spec: "CanaryRolloutSpec", traffic: "Traffic", runs: "list[Run]", output: Output) -> None:
    from canaryrollout.simulate.report import as_json, as_lines  # noqa: PLC0415

    if output is Output.JSON:
        typer.echo(json.dumps(as_json(runs), indent=2))
        return
    typer.echo(_headline(spec, traffic, len(runs)) + "\n")
    for line in as_lines(runs):
        typer.echo(line)


def _draw(spec: "CanaryRolloutSpec", traffic: "Traffic", shell: "Shell", runs: "list[Run]", path: Path) -> None:
    from canaryrollout.simulate.many import run_one  # noqa: PLC0415
    from canaryrollout.simulate.picture import draw, save  # noqa: PLC0415
    from canaryrollout.simulate.report import WORDS, spell_seconds  # noqa: PLC0415
    from canaryrollout.simulate.summary import median_run  # noqa: PLC0415
    from canaryrollout.simulate.trace import Recorder  # noqa: PLC0415

    recorder = Recorder(spec)
    run = run_one(spec, traffic, shell, median_run(runs).seed, watch=recorder)
    title = f"{spec.service} to {spec.version}: {WORDS[run.outcome]} after {spell_seconds(run.seconds)}"
    lines = [_headline(spec, traffic, 1).partition(": ")[2], run.explanation]
    save(draw(title, lines, recorder.points, recorder.limits), path)
    typer.echo(f"{path}: the median run (seed {run.seed})", err=True)
