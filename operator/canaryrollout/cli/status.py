"""`kubectl canary status` and `kubectl canary list`."""

import json
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from canaryrollout.cli.cluster import NoColor, Way, named, on_cluster, with_way
from canaryrollout.cli.exits import Exit, fail

if TYPE_CHECKING:
    from canaryrollout.cli.screen import Line
    from canaryrollout.cli.view import View
    from canaryrollout.kube.client import KubeClient


class Output(StrEnum):
    """How it is written."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


OutputFlag = Annotated[Output, typer.Option("--output", "-o", help="How to write it.")]


@with_way
def status(
    name: Annotated[str, typer.Argument(help="The CanaryRollout.", show_default=False, callback=named)],
    *,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Follow it until the rollout succeeds, is rolled back or pauses.")] = False,
    timeout: Annotated[str | None, typer.Option(help="With --wait: give up after so long, such as 10m.", show_default=False)] = None,
    output: OutputFlag = Output.TEXT,
    way: Way,
    no_color: NoColor = False,
) -> None:
    """Say in one sentence why a rollout is where it is, and what it rests on."""
    from canaryrollout.cli.follow import Gone, follow, look  # noqa: PLC0415 - keeps --help quick
    from canaryrollout.cli.screen import screen  # noqa: PLC0415
    from canaryrollout.cli.view import lines  # noqa: PLC0415

    if timeout is not None and not wait:
        fail("--timeout goes with --wait")
    seconds = _seconds(timeout) if timeout is not None else None
    told: Callable[[str], None] = typer.echo if output is Output.TEXT else lambda _: None

    async def ask(kube: "KubeClient", there: str) -> "tuple[View, Exit]":
        return await follow(kube, there, name, seconds, told) if wait else (await look(kube, there, name), Exit.OK)

    try:
        view, code = on_cluster(ask, way)
    except Gone as error:
        fail(str(error), Exit.NOT_FOUND)
    if output is Output.TEXT:
        screen(no_color=no_color).show(lines(view))
    else:
        _write(_documented("Status", view), output)
    if code is Exit.TIMEOUT:
        typer.echo(f"error: gave up after {timeout}: the rollout goes on", err=True)
    raise typer.Exit(code)


@with_way
def list_rollouts(
    *,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.", rich_help_panel="Cluster")] = False,
    output: OutputFlag = Output.TEXT,
    way: Way,
    no_color: NoColor = False,
) -> None:
    """List CanaryRollouts with what each of them is doing or waiting for."""
    from canaryrollout.cli.screen import screen  # noqa: PLC0415 - keeps --help quick
    from canaryrollout.cli.view import View  # noqa: PLC0415
    from canaryrollout.kube.resources import CANARYROLLOUTS  # noqa: PLC0415

    async def ask(kube: "KubeClient", there: str) -> "tuple[list[View], str]":
        return [View(item) for item in await kube.list(CANARYROLLOUTS, None if everywhere else there)], there

    found, there = on_cluster(ask, way)
    found.sort(key=lambda view: (view.namespace, view.name))
    if output is not Output.TEXT:
        _write({**_head("StatusList"), "items": [_item(view) for view in found]}, output)
    elif not found:
        typer.echo("there are no CanaryRollouts" if everywhere else f"there are no CanaryRollouts in namespace {there}", err=True)
    else:
        screen(no_color=no_color).show(_table(found, everywhere=everywhere))


def _table(found: "list[View]", *, everywhere: bool) -> "list[Line]":
    from canaryrollout.cli.screen import columns  # noqa: PLC0415

    head = ("NAME", "VERSION", "STABLE", "PHASE", "STEP", "WEIGHT", "PROXIES", "AGE", "WHY")
    rows = [_row(view) for view in found]
    if everywhere:
        named = [(view.namespace, *row) for view, row in zip(found, rows, strict=True)]
        return columns(("NAMESPACE", *head), named, [view.style for view in found])
    return columns(head, rows, [v.style for v in found])


def _row(view: "View") -> tuple[str, ...]:
    weight = f"{view.weight} %" if view.step else "-"
    known = view.version, view.stable or "-", view.phase, view.step or "-", weight, view.proxies or "-", view.age
    return view.name, *known, view.explanation


def _seconds(text: str) -> float:
    from canaryrollout.api.quantities import parse_duration  # noqa: PLC0415

    try:
        return parse_duration(text)
    except ValueError as error:
        fail(f"--timeout: {error}")


def _head(kind: str) -> dict[str, Any]:
    return {"apiVersion": "cli.canaryrollout.io/v1", "kind": kind}


def _item(view: "View") -> dict[str, Any]:
    from canaryrollout.cli.view import as_data  # noqa: PLC0415

    return as_data(view)


def _documented(kind: str, view: "View") -> dict[str, Any]:
    return {**_head(kind), **_item(view)}


def _write(data: dict[str, Any], output: Output) -> None:
    if output is Output.JSON:
        typer.echo(json.dumps(data, indent=2))
        return
    import yaml  # noqa: PLC0415

    typer.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
