"""A plan for people."""

from collections.abc import Callable, Iterator

from canaryrollout.api.status import Phase
from canaryrollout.cli import diffs
from canaryrollout.cli.assess import SEVERITIES, Assessment
from canaryrollout.cli.screen import Line
from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preview import Preview

Placing = Callable[[Finding], str]
"""Where a finding's object stands in the files, as "FILE:LINE"; "" where it is in none."""

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_DIFF = {"+": "green", "-": "red", "@": "cyan"}


def lines(found: Assessment, place: Placing) -> Iterator[Line]:
    """All of it."""
    yield Line(f"CanaryRollout {found.namespace}/{found.name}: {_summary(found)}", "bold", 2)
    yield Line(f"from {found.source}", "", 2)
    yield Line()
    yield from _preflight(found, place)
    yield from _routes(found)
    yield from _outlook(found)
    yield from _stages(found)
    yield from _rollback(found.preview)
    if found.not_checked:
        yield Line("Not checked", "bold")
        yield from (Line(f"  {item}", "", 4) for item in found.not_checked)


def _summary(found: Assessment) -> str:
    spec, stable = found.spec, found.preview.stable
    if not stable:
        return f"to {spec.version}"
    if spec.version == stable and not found.preview.stages:
        return f"nothing to do, {stable} serves all traffic"
    if spec.version == stable:
        return f"adopts {stable}, which serves now"
    steps = len(spec.steps)
    words = {
        Phase.PENDING: "",
        Phase.STABLE: "",
        Phase.ROLLED_BACK: "; rolled back before: this is what a retry would do",
        Phase.PAUSED: "; paused: this is what resuming would do",
    }
    under_way = words.get(found.phase, "; under way: this is what is left")
    return f"{stable} to {spec.version} in {steps} step{'s' if steps > 1 else ''}{under_way}"


def counted(found: Assessment) -> str:
    """How many findings of which severity."""
    parts = [f"{n} {severity}{'s' if n > 1 else ''}" for severity in SEVERITIES if (n := found.count(severity))]
    return ", ".join(parts) if parts else "nothing found"


def _preflight(found: Assessment, place: Placing) -> Iterator[Line]:
    yield Line(f"Preflight: {counted(found)}", "bold")
    for finding in found.findings:
        at = place(finding)
        about = " ".join(part for part in (finding.subject, finding.path, f"({at})" if at else "") if part)
        yield Line(f"  {finding.severity:<8} {finding.code}{'  ' + about if about else ''}", _STYLES[finding.severity], 11)
        yield Line(f"           {finding.message}", "", 11)
        if finding.fix:
            yield Line(f"           fix: {finding.fix}", "", 16)
    yield Line()


def _routes(found: Assessment) -> Iterator[Line]:
    if not found.routes:
        return
    yield Line(f"Routes of VirtualService {found.virtual_service}", "bold")
    width = max(len(route.label) for route in found.routes)
    for route in found.routes:
        yield Line(f"  {route.label:<{width}}  {route.explanation}", "" if route.moves else "dim", width + 4)
    yield Line()


def _outlook(found: Assessment) -> Iterator[Line]:
    if found.forecast:
        yield Line(f"Forecast: {found.forecast}", "", 2)
    for reason, message in found.notices:
        yield Line(f"  {reason}: {message}", "yellow", 4)
    if found.forecast or found.notices:
        yield Line()


def _stages(found: Assessment) -> Iterator[Line]:
    if found.preview.stopped is not None and not found.preview.stages:
        yield Line("The steps cannot be shown before the error is mended." if found.findings else "There is nothing to show.", "", 2)
        yield Line()
    for entry in diffs.stages(found.preview):
        name = diffs.title(entry.stage, found.preview.stable, found.preview.version)
        yield Line(name + ("" if entry.changes else ": nothing to write"), "bold", 2)
        for change in entry.changes:
            yield from (Line(text, _DIFF.get(text[:1], "")) for text in change.diff)
        yield Line()


def _rollback(shown: Preview) -> Iterator[Line]:
    if shown.rollback is None:
        return
    left = diffs.rollback(shown)
    if shown.baseline is None:
        yield Line("A rollback from here changes" if left else "A rollback from here changes nothing", "bold", 2)
    elif not left:
        yield Line("A rollback from any step leaves both objects exactly as they were before the rollout", "bold", 2)
    else:
        yield Line("A rollback leaves this that was not there before the rollout", "bold", 2)
    for change in left:
        yield from (Line(text, _DIFF.get(text[:1], "")) for text in change.diff)
    yield Line()
