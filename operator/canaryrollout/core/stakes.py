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
from math import exp, floor, log1p

from canaryrollout.api.evidence import ABSOLUTE_BETS, NO_STAKE, EvidenceState, ReporterEvidence

ERRORS = 0.25
ERRORS_RELATIVE = 0.25
CATASTROPHE = 0.1
SLOW = 0.25
SLOW_RELATIVE = 0.15
"""Shares of the tests; each reporter's test gets half."""

TESTS = ("errors", "errors_relative", "catastrophe", "slow", "slow_relative")
"""The tests of a reporter, as the evidence names their running products."""

CUSTOM = 0.1
"""Share of a custom ratio, relative to the others; a stake is divided among them all when it is placed."""

FIRST_STEP = 0.6
LATER_STEP = 0.25
SLICE = 1.0 / 720.0
"""Parts of the cash that are placed at a step's begin and at each slice: most faults show with the first requests, most others
with the first of a higher weight; the rest of an hour gets the rest. The cash shrinks but never ends."""

HOUR = 3600.0
"""Seconds for which every slice gets the same part of the cash; later ones get less, so that something is left in a pause of days."""

_MOST = 1e6
_MOST_EXP = 600.0
_NOTHING = 40.0
"""A product that is so many nats below another adds nothing to it that a float could hold."""
_FAINT = 7.0
"""A product that is so many nats below the stake of the next slice is a thousandth beside it: it is given up."""
_STEPS_OF_A_NAT = 1000.0
_CASH_DIGITS = 6


def place(state: EvidenceState, part: float) -> EvidenceState:
    """Place a part of the cash on all tests. To be stored, it has to be `stored`."""
    placed = state.cash * part
    if placed <= 0.0:
        return state
    # Custom ratios share the stake with the others, from when they are there.
    stake = placed / (1.0 + CUSTOM * sum(metric.ratio for metric in state.custom))
    return state.model_copy(
        update={
            "cash": _rounded_down(state.cash - placed),
            "source": _placed(state.source, stake),
            "destination": _placed(state.destination, stake),
            "custom": tuple(
                metric.model_copy(update={"logs": added(metric.logs, stake)}) if metric.ratio else metric for metric in state.custom
            ),
        }
    )


def slice_part(seconds: float) -> float:
    """The part of the cash for a slice, so many seconds after the canary's first weight: known beforehand, whatever is counted."""
    return SLICE * min(1.0, HOUR / max(seconds, 1.0))


def _rounded_down(cash: float) -> float:
    """To a few digits, and never above: half of the last digit is taken off first."""
    return float(f"{cash * (1.0 - 0.5 * 10.0 ** (1 - _CASH_DIGITS)):.{_CASH_DIGITS}g}")


def _placed(view: ReporterEvidence, stake: float) -> ReporterEvidence:
    return view.model_copy(update={name: added(getattr(view, name), stake) for name in TESTS})


def added(logs: Sequence[float], stake: float) -> list[float]:
    """Running products (as logs) with a stake divided evenly among them."""
    each = math.log(stake / len(logs))
    lost = each - _NOTHING
    # The commonest computation of all: written out, without a call for each number.
    return [each if log < lost else log + log1p(exp(each - log)) if log > each else each + log1p(exp(log - each)) for log in logs]


def multiplied(logs: Sequence[float], gains: Sequence[float]) -> list[float]:
    """Running products with what a slice adds. Where nothing is staked, nothing comes of it."""
    return [log + gain if log > NO_STAKE else log for log, gain in zip(logs, gains, strict=True)]


def stored(state: EvidenceState) -> EvidenceState:
    """The state as it is kept, in memory as in the status, so that a restart changes nothing.

    Every product is rounded down to thousandths of a nat, and the faint ones are given up. What is only ever lessened stays a
    supermartingale: the expectation of the evidence against a canary within its limits is at most 1, rounding included.
    """
    faint = max(NO_STAKE, math.log(state.cash * SLICE / ABSOLUTE_BETS) - _FAINT) if state.cash > 0.0 else NO_STAKE
    return state.model_copy(
        update={
            "source": _stored(state.source, faint),
            "destination": _stored(state.destination, faint),
            "custom": tuple(metric.model_copy(update={"logs": lessened(metric.logs, faint)}) for metric in state.custom),
        }
    )


def _stored(view: ReporterEvidence, faint: float) -> ReporterEvidence:
    return view.model_copy(update={name: lessened(getattr(view, name), faint) for name in TESTS})


def lessened(logs: Sequence[float], faint: float) -> tuple[float, ...]:
    """Rounded down to short numbers within the bounds of what can be stored; what is not above `faint` is nothing any more."""
    bounded = logs if max(logs) < _MOST else [min(log, _MOST) for log in logs]
    return tuple([floor(log * _STEPS_OF_A_NAT) / _STEPS_OF_A_NAT if log > faint else NO_STAKE for log in bounded])


def worth(logs: Sequence[float]) -> float:
    """The sum of the running products, bounded so that it is always a finite number."""
    return sum([exp(log if log < _MOST_EXP else _MOST_EXP) for log in logs if log > NO_STAKE])
