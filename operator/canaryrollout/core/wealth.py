"""The evidence against a canary: what the stake of 1 has become, test by test; and values out of bounds, which cannot be bet on."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from canaryrollout.api.evidence import CustomEvidence, EvidenceState, ReporterEvidence, Trouble
from canaryrollout.core import stakes
from canaryrollout.core.evidence_formulas import rate
from canaryrollout.core.evidence_wording import Test
from canaryrollout.core.limits import Limits
from canaryrollout.core.memory import Memory
from canaryrollout.core.snapshot import Reporter

REPORTERS = (Reporter.SOURCE, Reporter.DESTINATION)
CUSTOM = "custom/"
"""Prefix of the names of custom metrics beside "errors" and "latency"."""

OUTSIDE_SCRAPES = 3
"""So many scrapes in a row with a value outside its bounds are no accident."""


class Part(NamedTuple):
    """What one test contributes."""

    metric: str
    test: Test
    reporter: Reporter | None
    worth: float


def view_of(state: EvidenceState, reporter: Reporter) -> ReporterEvidence:
    """The view of one reporter."""
    return state.source if reporter is Reporter.SOURCE else state.destination


def parts(state: EvidenceState, limits: Limits) -> tuple[Part, ...]:
    """The evidence against the canary by test; with the cash they are its sum. Counting asks for it, and then the verdict."""
    return _PARTS((state, limits), ())


def _all_parts(of: tuple[EvidenceState, Limits], _: tuple[()]) -> tuple[Part, ...]:
    state, limits = of
    found = [part for reporter in REPORTERS for part in _parts(view_of(state, reporter), reporter, limits)]
    own = [
        Part(CUSTOM + metric.name, "absolute", None, stakes.CUSTOM * stakes.worth(metric.logs)) for metric in state.custom if metric.ratio
    ]
    return (*found, *own)


_PARTS = Memory(_all_parts)


def _parts(view: ReporterEvidence, reporter: Reporter, limits: Limits) -> tuple[Part, ...]:
    half = 1.0 / len(REPORTERS)
    found = [
        Part("errors", "absolute", reporter, half * stakes.ERRORS * stakes.worth(view.errors)),
        Part("errors", "catastrophe", reporter, half * stakes.CATASTROPHE * stakes.worth(view.catastrophe)),
        Part("latency", "absolute", reporter, half * stakes.SLOW * stakes.worth(view.slow)),
    ]
    if _above_floor(view.canary.errors + view.aborted, view.canary.total, view.errors_trouble, limits):
        found.append(Part("errors", "relative", reporter, half * stakes.ERRORS_RELATIVE * stakes.worth(view.errors_relative)))
    if _above_floor(view.canary.slow, view.canary.timed, view.latency_trouble, limits):
        found.append(Part("latency", "relative", reporter, half * stakes.SLOW_RELATIVE * stakes.worth(view.slow_relative)))
    return tuple(found)


def _above_floor(bad: float, total: float, trouble: Trouble, limits: Limits) -> bool:
    """A share that is small enough is never too much, however little stable shows."""
    if not math.isfinite(limits.max_increase):
        return False
    return max(rate(bad, total), rate(trouble.bad, trouble.total)) >= limits.relative_floor


def evidence_against(state: EvidenceState, limits: Limits) -> float:
    """What the stake of 1 has become; the canary fails at limits.fail_line."""
    return state.cash + sum(part.worth for part in parts(state, limits))


def out_of_bounds(state: EvidenceState, limits: Limits) -> CustomEvidence | None:
    """The first value that has been outside its bounds for too long."""
    bounded = {query.name for query in limits.custom if query.value}
    outside = (metric for metric in state.custom if metric.outside >= OUTSIDE_SCRAPES and metric.value is not None)
    return next((metric for metric in outside if metric.name in bounded), None)


def against(state: EvidenceState, limits: Limits) -> Mapping[str, float]:
    """The evidence against the canary by metric and reporter, such as {"errors/source": 3.2}, and their "total" with the cash."""
    named: dict[str, float] = {}
    for part in parts(state, limits):
        name = f"{part.metric}/{part.reporter.value}" if part.reporter is not None else part.metric
        named[name] = named.get(name, 0.0) + part.worth
    return {**named, "total": evidence_against(state, limits)}
