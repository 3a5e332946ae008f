"""Lines for people: plain where nobody looks, coloured and wrapped at a terminal."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import typer

from canaryrollout.cli.visible import visible

_HARD_SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line, or a paragraph that may be wrapped."""

    text: str = ""
    style: str = ""
    """A style of rich, such as "bold red"; "" for none."""
    hang: int | None = None
    """Columns by which what is wrapped is indented; None: never wrap."""
    cut: bool = False
    """Cut at the edge of a terminal, for rows of a table."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Standard output."""

    colour: bool
    width: int | None
    """None: not a terminal, nothing is wrapped."""

    def show(self, lines: Iterable[Line]) -> None:
        """Print them."""
        if not self.colour:
            for line in lines:
                for piece in self._pieces(line):
                    typer.echo(piece)
            return
        from rich.console import Console  # noqa: PLC0415 - only where there are colours
        from rich.text import Text  # noqa: PLC0415

        console = Console(highlight=False, soft_wrap=True)
        for line in lines:
            for piece in self._pieces(line):
                console.print(Text(piece, style=line.style))

    def _pieces(self, line: Line) -> list[str]:
        text = visible(line.text)
        if self.width is None or len(text) <= self.width:
            return [text]
        if line.hang is None:
            return [f"{text[: self.width - 1]}…" if line.cut else text]
        width, indent = max(self.width, line.hang + 20), " " * line.hang
        kept = text.replace(" %", _HARD_SPACE + "%")
        pieces = textwrap.wrap(kept, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        return [piece.replace(_HARD_SPACE, " ") for piece in pieces]


def screen(*, no_color: bool) -> Screen:
    """Standard output as it is: https://no-color.org is obeyed."""
    # There is no standard output where the shell has closed it (">&-").
    terminal = sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return Screen(terminal and not no_color and not os.environ.get("NO_COLOR"), shutil.get_terminal_size().columns if terminal else None)


def columns(head: Sequence[str], rows: Iterable[Sequence[str]], styles: Sequence[str] = ()) -> list[Line]:
    """A table, as kubectl prints one. `styles` are those of the rows."""
    cells = [tuple(head), *(tuple(visible(text) for text in row) for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    lines = ["   ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return [Line(text, style, cut=True) for text, style in zip(lines, ("bold", *(styles or [""] * len(lines))), strict=False)]
