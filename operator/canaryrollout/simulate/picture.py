"""A picture of one run: weight, evidence and errors over time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from canaryrollout.core.limits import Limits
from canaryrollout.simulate.svg import Drawing, Pair
from canaryrollout.simulate.trace import Point

WIDTH, LEFT, RIGHT = 960, 78, 28
_INK, _SOFT, _GRID = "#0f172a", "#64748b", "#e2e8f0"
_WEIGHT, _WEIGHT_AREA, _AGAINST, _FOR, _STABLE = "#2563eb", "#dbeafe", "#dc2626", "#15803d", "#64748b"
_LEAST, _MOST = 1e-3, 1e5
_BINS = 60
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


class PictureError(Exception):
    """The picture cannot be made; the message says what to change."""


@dataclass(frozen=True, slots=True)
class _Panel:
    """A plot with its own vertical axis; `y` maps a value to 0 (bottom) … 1 (top)."""

    top: float
    height: float
    seconds: float
    y: Callable[[float], float]

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def at(self, seconds: float, value: float) -> Pair:
        x = LEFT + seconds / self.seconds * (WIDTH - LEFT - RIGHT)
        return x, self.bottom - min(max(self.y(value), 0.0), 1.0) * self.height


def draw(title: str, subtitle: Sequence[str], points: Sequence[Point], limits: Limits) -> str:
    """The SVG. `points` in order of time, at least one."""
    seconds = max(points[-1].seconds, 1.0)
    head = 44 + 18 * len(subtitle)
    drawing = Drawing(WIDTH, head + 560)
    drawing.text(LEFT, 32, title, size=18, color=_INK, bold=True)
    for index, line in enumerate(subtitle):
        drawing.text(LEFT, 54 + 18 * index, line, size=12.5, color=_SOFT)
    _weights(drawing, _Panel(head + 36, 100, seconds, lambda value: value / 100.0), points)
    _evidence(drawing, _Panel(head + 186, 190, seconds, _log_share), points, limits)
    bins = _shares(points, seconds)
    top = _nice(1.15 * max([limits.max_error_rate * 1.3, *(share for series in bins for _, share in series)]))
    _errors(drawing, _Panel(head + 426, 80, seconds, lambda value: value / top), bins, limits, top)
    return str(drawing)


def check_path(path: Path) -> None:
    """Raises PictureError where nothing could be saved, before any work is done."""
    if path.suffix not in (".svg", ".png"):
        raise PictureError(f"--picture must end in .svg or .png, not {path.name!r}")
    if not path.parent.is_dir():
        raise PictureError(f"--picture: there is no directory {path.parent}")
    if path.suffix == ".png" and find_spec("resvg_py") is None:
        raise PictureError("a PNG needs an extra: pip install 'canaryrollout[png]' (or ask for an .svg)")


def save(svg: str, path: Path) -> None:
    """Write .svg as it is, .png by resvg. Raises PictureError."""
    try:
        path.write_bytes(svg.encode() if path.suffix == ".svg" else _png(svg))
    except OSError as error:
        raise PictureError(f"cannot write {path}: {error.strerror}") from None


def _png(svg: str) -> bytes:
    import resvg_py  # noqa: PLC0415 - an optional extra

    image = bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=2.0))
    without_text = "\n".join(line for line in svg.splitlines() if not line.startswith("<text"))
    if image == bytes(resvg_py.svg_to_bytes(svg_string=without_text, zoom=2.0)):
        raise PictureError("no font was found to write with: install one such as DejaVu Sans, or ask for an .svg")
    return image


def _log_share(value: float) -> float:
    low, high = math.log(_LEAST), math.log(_MOST)
    return (math.log(min(max(value, _LEAST), _MOST)) - low) / (high - low)


def _frame(drawing: Drawing, panel: _Panel, name: str, ticks: Sequence[tuple[float, str]], *, clock: bool = False) -> None:
    """Title, grid and axes of a panel."""
    drawing.text(LEFT, panel.top - 10, name, size=13, color=_INK, bold=True)
    for value, label in ticks:
        _, y = panel.at(0, value)
        drawing.line([(LEFT, y), (WIDTH - RIGHT, y)], _GRID)
        drawing.text(LEFT - 8, y + 4, label, size=11, anchor="end", color=_SOFT)
    step = next((tick for tick in _TICKS if panel.seconds / tick <= 10), _TICKS[-1])
    for index in range(int(panel.seconds // step) + 1):
        x, _ = panel.at(index * step, 0)
        drawing.line([(x, panel.top), (x, panel.bottom)], _GRID)
        if clock:
            drawing.text(x, panel.bottom + 17, _clock(index * step), size=11, anchor="middle", color=_SOFT)
    drawing.line([(LEFT, panel.top), (LEFT, panel.bottom), (WIDTH - RIGHT, panel.bottom)], _SOFT)


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _weights(drawing: Drawing, panel: _Panel, points: Sequence[Point]) -> None:
    _frame(drawing, panel, "Canary's weight (%)", [(value, f"{value}") for value in (0, 25, 50, 75, 100)])
    outline = _stairs([panel.at(point.seconds, point.weight) for point in points])
    drawing.area([(outline[0][0], panel.bottom), *outline, (outline[-1][0], panel.bottom)], _WEIGHT_AREA)
    drawing.line(outline, _WEIGHT, width=2)
    shown = 0
    for point in points:
        if point.weight > shown:
            shown = point.weight
            x, y = panel.at(point.seconds, shown)
            high = y < panel.top + 16
            drawing.text(
                x - 4 if high else x + 4,
                y + 14 if high else y - 5,
                f"{shown} %",
                size=11,
                color=_WEIGHT,
                bold=True,
                anchor="end" if high else "start",
            )


def _stairs(points: Sequence[Pair]) -> list[Pair]:
    corners = [points[0]]
    for (_, y), (x, after) in pairwise(points):
        corners += [(x, y), (x, after)]
    return corners


def _evidence(drawing: Drawing, panel: _Panel, points: Sequence[Point], limits: Limits) -> None:
    ticks = [(10.0**power, f"{10.0**power:,.3g}" if power < 3 else f"{10**power:,}") for power in range(-3, 6)]
    _frame(drawing, panel, "Evidence (logarithmic)", ticks)
    lines = (
        (limits.fail_line, _AGAINST, f"rolled back at {limits.fail_line:,.0f}"),
        (limits.pass_line, _FOR, f"a step can pass from {limits.pass_line:,.0f} on"),
    )
    for value, color, label in lines:
        _, y = panel.at(0, value)
        drawing.line([(LEFT, y), (WIDTH - RIGHT, y)], color, width=1.2, dash="6 4")
        drawing.text(LEFT + 6, y - 4, label, size=11, color=color)
    drawing.line(_stairs([panel.at(point.seconds, point.against) for point in points]), _AGAINST, width=2)
    for piece in _unbroken(points):
        drawing.line(_stairs([panel.at(point.seconds, point.in_favour or 0.0) for point in piece]), _FOR, width=2)
    _legend(drawing, panel, ((_AGAINST, "against the canary"), (_FOR, "for the canary")))


def _unbroken(points: Sequence[Point]) -> list[list[Point]]:
    """The stretches in which there is evidence for the canary."""
    pieces: list[list[Point]] = [[]]
    for point in points:
        if point.in_favour is not None:
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _legend(drawing: Drawing, panel: _Panel, entries: Sequence[tuple[str, str]]) -> None:
    x = WIDTH - RIGHT - 150.0 * len(entries)
    for index, (color, name) in enumerate(entries):
        at = x + 150.0 * index
        drawing.line([(at, panel.top - 14), (at + 22, panel.top - 14)], color, width=3)
        drawing.text(at + 28, panel.top - 10, name, size=12)


def _shares(points: Sequence[Point], seconds: float) -> tuple[list[Pair], list[Pair]]:
    """The share of failed requests, canary's and stable's, in equal spans of time."""
    width = max(seconds / _BINS, 5.0)
    canary: list[Pair] = []
    stable: list[Pair] = []
    before = points[0]
    for point in points[1:]:
        if point.seconds - before.seconds < width and point is not points[-1]:
            continue
        middle = (point.seconds + before.seconds) / 2.0
        for series, now, then in ((canary, point.canary, before.canary), (stable, point.stable, before.stable)):
            if now.total > then.total:
                series.append((middle, (now.errors - then.errors) / (now.total - then.total)))
        before = point
    return canary, stable


def _nice(value: float) -> float:
    for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5):
        if value <= step:
            return step
    return 1.0


def _errors(drawing: Drawing, panel: _Panel, bins: tuple[list[Pair], list[Pair]], limits: Limits, top: float) -> None:
    ticks = [(top * part / 2.0, f"{top * part * 50.0:.3g}") for part in range(3)]
    _frame(drawing, panel, "Failed requests (% of those counted)", ticks, clock=True)
    x, y = panel.at(panel.seconds, limits.max_error_rate)
    drawing.line([(LEFT, y), (x, y)], _AGAINST, width=1.2, dash="6 4")
    drawing.text(LEFT + 6, y - 4, f"limit {limits.max_error_rate * 100.0:g} %", size=11, color=_AGAINST)
    for series, color in zip(bins, (_WEIGHT, _STABLE), strict=True):
        drawing.line([panel.at(*pair) for pair in series], color, width=1.5)
        for pair in series:
            drawing.dot(*panel.at(*pair), color)
    _legend(drawing, panel, ((_WEIGHT, "canary"), (_STABLE, "stable")))
    drawing.text((LEFT + WIDTH - RIGHT) / 2, panel.bottom + 36, "time since the rollout began (m:s)", size=12, anchor="middle", color=_SOFT)
