"""How the stake of 1 is placed on the tests against a canary: what each test gets, and when.

The evidence is what the whole stake has become: the cash that is not placed yet plus, for every test, share x (the sum of its
running products). While the canary is within its limits this is a nonnegative supermartingale that starts at 1, so the chance that it ever
reaches 1/alpha is at most alpha, over the whole rollout, however the shares and the times were chosen beforehand. Tests
that agree add up; nothing is lost to dividing alpha among them. Fresh stakes find late faults: a product that healthy
slices have worn down does not hold back the next stake (Shin, Ramdas and Rinaldo, "E-detectors", 2022).
The figures were chosen with the simulator: docs/adr/0014-evidence.md.
"""

import math
from collections.abc import Sequence
from math import exp, log1p

from canaryrollout.api.evidence import NO_STAKE, EvidenceState, ReporterEvidence

ERRORS = 0.25
ERRORS_RELATIVE = 0.25
CATASTROPHE = 0.1
SLOW = 0.25
SLOW_RELATIVE = 0.15
"""Shares of the tests; each reporter's test gets half."""

CUSTOM = 0.1
"""Share of a custom ratio, relative to the others; a stake is divided among them all when it is placed."""

FIRST_STEP = 0.6
LATER_STEP = 0.25
SLICE = 1.0 / 720.0
"""Parts of the cash that are placed at a step's begin and at each slice: most faults show with the first requests, most others
with the first of a higher weight; the rest of an hour gets the rest. The cash shrinks but never ends."""

_MOST = 1e6
_MOST_EXP = 600.0
_NOTHING = 40.0
"""A product that is so many nats below another adds nothing to it that a float could hold."""
_DIGITS = 3


def place(state: EvidenceState, part: float) -> EvidenceState:
    """Place a part of the cash on all tests."""
    placed = state.cash * part
    if placed <= 0.0:
        return state
    # Custom ratios share the stake with the others, from when they are there.
    stake = placed / (1.0 + CUSTOM * sum(metric.ratio for metric in state.custom))
    return state.model_copy(
        update={
            "cash": round(state.cash - placed, 6),
            "source": _placed(state.source, stake),
            "destination": _placed(state.destination, stake),
            "custom": tuple(
                metric.model_copy(update={"logs": added(metric.logs, stake)}) if metric.ratio else metric for metric in state.custom
            ),
        }
    )


def _placed(view: ReporterEvidence, stake: float) -> ReporterEvidence:
    return view.model_copy(
        update={
            "errors": added(view.errors, stake),
            "errors_relative": added(view.errors_relative, stake),
            "catastrophe": added(view.catastrophe, stake),
            "slow": added(view.slow, stake),
            "slow_relative": added(view.slow_relative, stake),
        }
    )


def added(logs: Sequence[float], stake: float) -> tuple[float, ...]:
    """Running products (as logs) with a stake divided evenly among them."""
    each = math.log(stake / len(logs))
    lost = each - _NOTHING
    # The commonest computation of all: written out, without a call for each number.
    sums = [each if log < lost else log + log1p(exp(each - log)) if log > each else each + log1p(exp(log - each)) for log in logs]
    return tuple([round(value, _DIGITS) + 0.0 for value in sums])


def multiplied(logs: Sequence[float], gains: Sequence[float]) -> tuple[float, ...]:
    """Running products with what a slice adds. Where nothing is staked, nothing comes of it."""
    return tuple([log if log <= NO_STAKE else storable(log + gain) for log, gain in zip(logs, gains, strict=True)])


def worth(logs: Sequence[float]) -> float:
    """The sum of the running products, bounded so that it is always a finite number."""
    return sum([exp(log if log < _MOST_EXP else _MOST_EXP) for log in logs if log > NO_STAKE])


def storable(log: float) -> float:
    """Bounded, and rounded far below any effect, so that a stored number is short and read back equal (never -0)."""
    return round(log if NO_STAKE < log < _MOST else min(max(log, NO_STAKE), _MOST), _DIGITS) + 0.0
