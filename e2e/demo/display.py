"""Where frames go: a live screen on a terminal, lines anywhere else."""

import contextlib
import os
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.live import Live

from demo.frame import Frame
from demo.lines import changes
from demo.view import View


class Display(Protocol):
    """Shows frames, one after the other."""

    def show(self, frame: Frame) -> None:
        """Show a frame."""


class Lines:
    """What changed, line by line."""

    def __init__(self) -> None:
        self._last: Frame | None = None

    def show(self, frame: Frame) -> None:
        """Print what is new."""
        for line in changes(self._last, frame):
            print(line, flush=True)
        self._last = frame


class Screen:
    """A full screen, drawn anew with each frame."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, frame: Frame) -> None:
        """Draw it."""
        self._live.update(View(frame), refresh=True)


def is_live(console: Console) -> bool:
    """Whether the console is a terminal that can be drawn on, and its owner did not ask for plain output."""
    return console.is_terminal and not console.is_dumb_terminal and not os.environ.get("NO_COLOR")


@contextlib.contextmanager
def display_on(console: Console) -> Iterator[Display]:
    """The display that suits a console; a live screen is gone, and what was there before is back, when the block ends."""
    if not is_live(console):
        yield Lines()
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield Screen(live)
