"""The end of the demo: a table, what was seen, and what to do next. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from demo.releases import SLOW_MS
from demo.result import Result

NEXT = (
    ("make mesh", "leaves a mesh running to play with"),
    ("docs/tutorials/local-mesh.md", "what to do with it"),
    ("docs/how-to/release.md", "release, pause, retry and roll back"),
    ("docs/explanation/sync-proof.md", "how it is proved that all proxies have it"),
    ("docs/explanation/evidence.md", "when a canary counts as healthy, or broken"),
)


def report(results: Sequence[Result]) -> Iterator[RenderableType]:
    """Everything that is printed when the demo has run to its end."""
    yield table(results)
    yield Text("What you saw", "bold")
    yield _pairs((f"{result.release.version}, {result.release.nature}", _told(result)) for result in results)
    yield Text("\nWhat next", "bold")
    yield _pairs(NEXT)


def table(results: Sequence[Result]) -> Table:
    """One row for each release."""
    grown = Table(title="Three releases, as their clients felt them", title_style="bold", title_justify="left", box=box.SIMPLE_HEAD)
    grown.add_column("release", style="bold")
    grown.add_column("outcome")
    for name in ("duration", "client\nrequests", "failed", f"over\n{SLOW_MS:.0f} ms", "first bad\nanswer to\nall on stable"):
        grown.add_column(name, justify="right")
    for result in results:
        outcome = Text("\n".join(filter(None, (result.outcome, result.reason))), "red" if result.complaint else "green")
        exposure = "-" if result.exposure is None else f"{result.exposure:.1f} s"
        counts = (f"{result.requests:,}", f"{result.failed:,}", f"{result.slow:,}")
        grown.add_row(result.release.version, outcome, f"{result.duration:.1f} s", *counts, exposure)
    return grown


def _pairs(rows: Iterable[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(max_width=34)
    grid.add_column()
    for name, text in rows:
        grid.add_row(Padding(name, (0, 0, 0, 2)), text)
    return grid


def _told(result: Result) -> str:
    if result.outcome == "Promoted":
        return "promoted step by step, each step proved by all proxies before it was judged"
    return result.message
