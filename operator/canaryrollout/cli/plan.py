"""`kubectl canary plan`: what a CanaryRollout would do, from a cluster or from files alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from canaryrollout.cli.cluster import NoColor, Way, named, on_cluster, with_way
from canaryrollout.cli.exits import Exit, fail

if TYPE_CHECKING:
    from canaryrollout.cli.assess import Assessment
    from canaryrollout.cli.live import Seen
    from canaryrollout.cli.offline import Files, Place
    from canaryrollout.core.findings import Finding
    from canaryrollout.kube.client import KubeClient


class PlanOutput(StrEnum):
    """How a plan is written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


class FailOn(StrEnum):
    """The least severity that makes the exit code differ from 0."""

    ERROR = "error"
    WARNING = "warning"
    NEVER = "never"


@with_way
def plan(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A CanaryRollout of the cluster, or the one to take of those in the files.", show_default=False, callback=named
        ),
    ] = None,
    *,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", help="YAML or JSON file, folder, or - for standard input; may be repeated.", show_default=False),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no cluster: only what the files hold is there.")] = False,
    output: Annotated[PlanOutput, typer.Option("--output", "-o", help="How to write it.")] = PlanOutput.TEXT,
    fail_on: Annotated[FailOn, typer.Option(help="The least severity that fails.")] = FailOn.ERROR,
    way: Way,
    no_color: NoColor = False,
) -> None:
    """Show what preflight finds, and the exact changes of VirtualService and DestinationRule at every step. Nothing is written."""
    if name is None and not file:
        fail("give the name of a CanaryRollout, or files with one (-f)")
    if offline and not file:
        fail("--offline needs files (-f)")
    found, files = _from_files(name, file, way.namespace) if file and offline else _live(name, file, way)
    _show(found, files, output, no_color=no_color)
    raise typer.Exit(_code(found, fail_on))


def _from_files(name: str | None, paths: list[str], namespace: str | None) -> "tuple[Assessment, Files]":
    from canaryrollout.api.status import CanaryRolloutStatus  # noqa: PLC0415 - keeps --help quick
    from canaryrollout.cli.assess import assess  # noqa: PLC0415
    from canaryrollout.cli.manifests import ManifestsError, read  # noqa: PLC0415
    from canaryrollout.cli.offline import select, snapshot, spec_of  # noqa: PLC0415

    try:
        files = select(read(paths), namespace or "default", namespace, name)
        spec = spec_of(files.rollout)
        with _shaped(from_files=True):
            seen, unknown = snapshot(files, spec)
            return assess(spec, CanaryRolloutStatus(), seen, source=files.told, not_checked=unknown), files
    except ManifestsError as error:
        fail(str(error))


@contextmanager
def _shaped(*, from_files: bool) -> Iterator[None]:
    """An API server would have refused an object of the files that nothing here can read."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        if not from_files:
            raise
        fail(f"an object of the files is not what its API asks for ({type(error).__name__}: {error}): apply it with --dry-run=server")


def _live(name: str | None, paths: list[str] | None, way: Way) -> "tuple[Assessment, Files | None]":
    from canaryrollout.cli.live import NotFoundError, UnusableError, look, look_with  # noqa: PLC0415 - keeps --help quick
    from canaryrollout.cli.manifests import ManifestsError, read  # noqa: PLC0415
    from canaryrollout.cli.offline import select, spec_of  # noqa: PLC0415

    try:
        documents = read(paths) if paths else []

        async def seen(kube: "KubeClient", there: str) -> "tuple[Seen, Files | None]":
            if name is not None and not paths:
                return await look(kube, there, name), None
            files = select(documents, there, way.namespace, name)
            spec_of(files.rollout)
            return await look_with(kube, files), files

        found, files = on_cluster(seen, way)
    except (ManifestsError, UnusableError) as error:
        fail(str(error))
    except NotFoundError as error:
        fail(str(error), Exit.NOT_FOUND)
    with _shaped(from_files=files is not None):
        return _assessed(found, files), files


def _assessed(found: "Seen", files: "Files | None") -> "Assessment":
    from canaryrollout.cli.assess import assess  # noqa: PLC0415

    if found.subject.spec is None:
        raise AssertionError("a plan without a spec")
    source = "the cluster" if files is None else f"the cluster, with {files.told} laid over it"
    return assess(
        found.subject.spec, found.subject.status, found.snapshot, source=source, not_checked=found.not_checked, coming=found.coming
    )


def _show(found: "Assessment", files: "Files | None", output: PlanOutput, *, no_color: bool) -> None:
    from canaryrollout.cli import plan_machine, plan_text  # noqa: PLC0415
    from canaryrollout.cli.screen import screen  # noqa: PLC0415

    def place(finding: "Finding") -> "Place | None":
        return files.place(finding) if files is not None else None

    def spot(finding: "Finding") -> str:
        at = place(finding)
        return f"{at.file}:{at.line}" if at is not None else ""

    match output:
        case PlanOutput.TEXT:
            screen(no_color=no_color).show(plan_text.lines(found, spot))
        case PlanOutput.JSON:
            typer.echo(json.dumps(plan_machine.as_json(found, place), indent=2))
        case PlanOutput.SARIF:
            typer.echo(json.dumps(plan_machine.as_sarif(found, files.anchor if files is not None else place), indent=2))
        case PlanOutput.GITHUB:
            for line in plan_machine.as_github(found, place):
                typer.echo(line)


def _code(found: "Assessment", fail_on: FailOn) -> Exit:
    if fail_on is FailOn.NEVER or found.worst is None or found.worst == "info":
        return Exit.OK
    if found.worst == "error":
        return Exit.FOUND_ERRORS
    return Exit.FOUND_WARNINGS if fail_on is FailOn.WARNING else Exit.OK
