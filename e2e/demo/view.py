"""The demo on a terminal: one frame as a screen of any size from 80x24 up. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from canaryrollout.api.status import Phase
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from demo.frame import Frame, Split
from demo.lines import clock
from demo.releases import RATE, RELEASES, SLOW_MS, Release

BAR_CELLS = 20
EVIDENCE_LINES = 3

GOOD, BAD, BUSY, QUIET = "green", "red", "yellow", "dim"


@dataclass(frozen=True)
class View:
    """A frame, drawn: what is under way on top, and as many of the last Events as fit below."""

    frame: Frame

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        top = Group(*_top(self.frame))
        used = len(console.render_lines(top, options.update(height=None), pad=False))
        yield top
        yield _events(self.frame, height - used)


def _top(frame: Frame) -> Iterator[RenderableType]:
    yield _title(frame)
    yield _releases(frame)
    yield _heading("the rollout")
    yield _rollout(frame)
    yield _heading("what its clients see")
    yield _clients(frame)
    yield _heading("Events")


def _heading(text: str) -> Rule:
    return Rule(Text(text, "bold"), align="left", style=QUIET)


def _title(frame: Frame) -> Table:
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_column(justify="right", no_wrap=True)
    title = Text.assemble(("canaryrollout", "bold"), f"  {RATE:.0f} requests/s  ", frame.activity)
    line.add_row(title, Text(clock(frame.now - frame.began), "bold"))
    return line


def _releases(frame: Frame) -> Table:
    table = Table.grid(padding=(0, 2))
    for release in RELEASES:
        state, style = _state(frame, release)
        table.add_row(Text(f"  {release.version}", "bold"), release.nature, Text(state, style))
    return table


def _state(frame: Frame, release: Release) -> tuple[str, str]:
    """In what state a release is, and how that is coloured."""
    entry = frame.ended(release)
    if entry is not None:
        ending = f"{entry.outcome} for {entry.reason}" if entry.reason else entry.outcome
        return f"{ending}, {entry.ended_at - entry.started_at:.0f} s", GOOD if entry.outcome == "Promoted" else BAD
    if release != frame.release:
        return "to come", QUIET
    rollout = frame.status.rollout
    if rollout is None or rollout.version != release.version:
        return "being deployed", BUSY
    return f"{frame.status.phase.value}, {frame.now - rollout.started_at:.0f} s", BUSY


def _rollout(frame: Frame) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(style=QUIET, no_wrap=True, width=12)
    table.add_column(ratio=1)
    table.add_row("steps", _steps(frame))
    table.add_row("wanted", _split(frame, frame.wanted))
    table.add_row("proxies have", Text.assemble(_split(frame, frame.acknowledged), "  ", _proxies(frame)))
    table.add_row("evidence", _Clamped(frame.evidence or "none yet", EVIDENCE_LINES))
    return table


@dataclass(frozen=True)
class _Clamped:
    """Text in exactly so many lines, so that what is below it stands still."""

    text: str
    lines: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wrapped = Text(self.text).wrap(console, options.max_width)[: self.lines]
        yield from wrapped
        yield from [Text("")] * (self.lines - len(wrapped))


def _steps(frame: Frame) -> Text:
    """All steps; the present one in brackets, those before it done."""
    promoted = frame.release is not None and (entry := frame.ended(frame.release)) is not None and entry.outcome == "Promoted"
    step = frame.status.rollout.step if frame.status.rollout else None
    undone = frame.status.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    present = len(frame.steps) if promoted else step.index if step else -1
    text = Text()
    for index, weight in enumerate(frame.steps):
        if index == present:
            text.append(f"[{weight} %]", f"bold {BAD if undone else BUSY}")
        else:
            text.append(f" {weight} % ", GOOD if index < present and not undone else QUIET)
        text.append(" ")
    return text


def _split(frame: Frame, split: Split) -> Text:
    """Such as "██████████████████░░ v1 95 %  v2 5 %"; stable is solid."""
    if not split:
        return Text("not known yet", QUIET)
    stable = frame.status.stable_version
    solid = round(split.get(stable, 0) * BAR_CELLS / 100)
    if len(split) > 1:
        solid = min(max(solid, 1), BAR_CELLS - 1)
    text = Text.assemble(("█" * solid, GOOD), ("░" * (BAR_CELLS - solid), BUSY))
    for version, weight in split.items():
        text.append(f"  {version} {weight:>3} %")
    return text


def _proxies(frame: Frame) -> Text:
    """How many proxies acknowledged what they were last asked about."""
    proxies = frame.status.proxies
    if proxies is None:
        return Text("")
    return Text(f"{proxies.synced} of {proxies.total} proxies", BUSY if proxies.lagging else GOOD)


def _clients(frame: Frame) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style=QUIET, pad_edge=False)
    table.add_column("since the release", min_width=17)
    for name in ("requests", "failed", f"over {SLOW_MS:.0f} ms", "share, last 5 s"):
        table.add_column(name, justify="right")
    for seen in frame.clients:
        failed = Text(f"{seen.failed:,}", BAD if seen.failed else "")
        slow = Text(f"{seen.slow:,}", BAD if seen.slow else "")
        table.add_row(seen.version or "no version", f"{seen.requests:,}", failed, slow, f"{seen.share:.1%}")
    return table


def _events(frame: Frame, room: int) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(justify="right", style=QUIET, no_wrap=True, width=5)
    table.add_column(no_wrap=True, min_width=14, max_width=19, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for event in frame.events[-room:] if room > 0 else ():
        style = BAD if event.warning else "default"
        table.add_row(clock(max(event.time - frame.began, 0.0)), Text(event.reason, style), event.note)
    return table
