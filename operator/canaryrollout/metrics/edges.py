"""Edges of the duration histogram: which two enclose a latency threshold, and how exporters and Prometheus spell them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from canaryrollout.metrics import promql

DEFAULT = (
    *(0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0),
    *(30000.0, 60000.0, 300000.0, 600000.0, 1800000.0, 3600000.0),
)
"""Upper edges of Istio's duration histogram, in milliseconds, as Envoy has them by default."""

INFINITY = "+Inf"


@dataclass(frozen=True, slots=True)
class Enclosing:
    """The edges in milliseconds at or next below and at or next above a threshold; None where the histogram has none there."""

    below: float | None
    above: float | None

    @property
    def pattern(self) -> str:
        """An RE2 pattern of the labels `le` of these edges and of infinity."""
        labels = {spelling for edge in {self.below, self.above} if edge is not None for spelling in spellings(edge)}
        return "|".join([*sorted(promql.pattern(label) for label in labels), "[+]Inf"])


def enclosing(threshold: float, edges: tuple[float, ...]) -> Enclosing:
    """The edges around a threshold in seconds; among Istio's defaults where `edges` is empty."""
    wanted = round(threshold * 1000.0, 6)
    known = edges or DEFAULT
    return Enclosing(
        below=max((edge for edge in known if edge <= wanted), default=None),
        above=min((edge for edge in known if edge >= wanted), default=None),
    )


def spellings(edge: float) -> set[str]:
    """Prometheus 3 writes 500 as "500.0" and 1800000 as "1.8e+06"; Envoy and Prometheus 2 write them plainly."""
    exact = Decimal(repr(edge)).normalize()
    plain = f"{exact:f}"
    first, *rest = exact.as_tuple().digits
    mantissa = f"{first}.{''.join(map(str, rest))}" if rest else str(first)
    return {plain, f"{mantissa}e{exact.adjusted():+03d}"} | (set() if "." in plain else {f"{plain}.0"})


def read(labels: Iterable[str]) -> tuple[float, ...]:
    """The finite, positive edges among labels `le`, in order."""
    found = set()
    for label in labels:
        try:
            edge = float(label)
        except ValueError:
            continue
        if math.isfinite(edge) and edge > 0.0:
            found.add(edge)
    return tuple(sorted(found))
