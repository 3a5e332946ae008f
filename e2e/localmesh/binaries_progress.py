"""What a person sees while programs are built: live on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import Progress as LiveDisplay
from rich.progress import SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

PLAIN_INTERVAL = 30.0


class Progress(Protocol):
    """Told by the builder, in this order for each program: start, any number of doing, finish."""

    def start(self, name: str, number: int, total: int, minutes: float) -> None:
        """Program `number` of `total` is begun and takes about `minutes` from nothing."""

    def doing(self, text: str) -> None:
        """What is worked on now."""

    def finish(self, name: str) -> None:
        """The program is there."""


class PlainProgress:
    """One line at each start and end, and one every half minute in between."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._label = ""
        self._started = self._printed = 0.0

    def start(self, name: str, number: int, total: int, minutes: float) -> None:
        self._label = f"[{number}/{total}] {name}"
        self._started = self._printed = time.monotonic()
        self._print(f"{self._label} ... ({about(minutes)} from nothing)")

    def doing(self, text: str) -> None:
        now = time.monotonic()
        if now - self._printed >= PLAIN_INTERVAL:
            self._printed = now
            self._print(f"{self._label}: {now - self._started:.0f} s, {text}")

    def finish(self, name: str) -> None:
        self._print(f"{self._label}: done after {time.monotonic() - self._started:.0f} s")

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class LiveProgress:
    """One moving line per program."""

    def __init__(self, display: LiveDisplay) -> None:
        self._display = display
        self._task: TaskID | None = None

    def start(self, name: str, number: int, total: int, minutes: float) -> None:
        self._task = self._display.add_task(f"[{number}/{total}] {name}", total=1, expected=f"of {about(minutes)}", doing="")

    def doing(self, text: str) -> None:
        if self._task is not None:
            self._display.update(self._task, doing=text)

    def finish(self, name: str) -> None:
        if self._task is not None:
            self._display.update(self._task, completed=1, expected="", doing="done")


def about(minutes: float) -> str:
    return f"about {minutes:g} min" if minutes >= 1 else f"about {minutes * 60:.0f} s"


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A display that fits standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainProgress()
        return
    display = LiveDisplay(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[expected]}", markup=False),
        TextColumn("{task.fields[doing]}", style="dim", markup=False),
        console=console,
    )
    with display:
        yield LiveProgress(display)
