"""How the stake of 1 is placed on the tests against a canary: what each test gets, and when.

The evidence is what the whole stake has become: the cash that is not placed yet plus, for every test, share x (the sum of its
running products). While the canary is within its limits this is a nonnegative supermartingale that starts at 1, so the chance that it ever
reaches 1/alpha is at most alpha, over the whole rollout, however the shares and the times were chosen beforehand. Tests
that agree add up; nothing is lost to dividing alpha among them. Fresh stakes find late faults: a product that healthy
slices have worn down does not hold back the next stake (Shin, Ramdas and Rinaldo, "E-detectors", 2022).
The figures were chosen with the simulator: docs/adr/0014-evidence.md.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from math import exp, floor, log1p
from types import MappingProxyType
from typing import NamedTuple

from canaryrollout.api.evidence import ABSOLUTE_BETS, NO_STAKE, CustomEvidence, EvidenceState, ReporterEvidence

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

Gains = Mapping[str, Sequence[float]]
"""What a slice adds to the running products (as logs), by test; a test that is not named has learned nothing."""
_NOTHING_LEARNED: Gains = MappingProxyType({})


class Learned(NamedTuple):
    """What the slices that end at one time add, view by view; of custom ratios by their names."""

    source: Gains = _NOTHING_LEARNED
    destination: Gains = _NOTHING_LEARNED
    custom: Gains = _NOTHING_LEARNED


def both(one: Gains, other: Gains) -> Gains:
    """What two slices add together."""
    if not one or not other:
        return one or other
    return {**one, **{test: [a + b for a, b in zip(one.get(test, (0.0,) * len(more)), more, strict=True)] for test, more in other.items()}}


_NO_SLICE = Learned()


def turn(state: EvidenceState, part: float, learned: Learned = _NO_SLICE, *, cursor: float | None = None) -> EvidenceState:
    """One turn of the bet: a part of the cash is placed on all tests, and the running products take what was learned.

    The state is as it is kept, in memory as in the status, so that a restart changes nothing: every product is rounded down to
    thousandths of a nat, and the faint ones are given up. What is only ever lessened stays a supermartingale: the expectation
    of the evidence against a canary within its limits is at most 1, rounding included. All is counted up to `cursor`, where that is given.
    """
    placed = state.cash * part
    cash = _rounded_down(state.cash - placed) if placed > 0.0 else state.cash
    stake = _without_custom(placed, state)
    faint = max(NO_STAKE, math.log(cash * SLICE / ABSOLUTE_BETS) - _FAINT) if cash > 0.0 else NO_STAKE
    return state.model_copy(
        update={
            "cash": cash,
            "source": _turned(state.source, learned.source, stake, faint),
            "destination": _turned(state.destination, learned.destination, stake, faint),
            "custom": tuple(_turned_custom(metric, learned.custom.get(metric.name), stake, faint) for metric in state.custom),
            "cursor": state.cursor if cursor is None else cursor,
        }
    )


def begun_anew(state: EvidenceState, tests: Collection[str]) -> EvidenceState:
    """Each running product of these tests at most at its part of what has been placed, as if nothing had been learned."""
    placed = _without_custom(1.0 - state.cash, state)
    if not tests or placed <= 0.0:
        return state
    return state.model_copy(
        update={"source": _at_most_placed(state.source, tests, placed), "destination": _at_most_placed(state.destination, tests, placed)}
    )


def _at_most_placed(view: ReporterEvidence, tests: Collection[str], placed: float) -> ReporterEvidence:
    return view.model_copy(update={test: _at_most(getattr(view, test), placed) for test in tests})


def _at_most(logs: Sequence[float], placed: float) -> tuple[float, ...]:
    most = max(NO_STAKE, floor(math.log(placed / len(logs)) * _STEPS_OF_A_NAT) / _STEPS_OF_A_NAT)
    return tuple(min(log, most) for log in logs)


def _without_custom(placed: float, state: EvidenceState) -> float:
    """What of a stake goes to the reporters' tests: custom ratios share it with them, from when they are there."""
    return placed / (1.0 + CUSTOM * sum(metric.ratio for metric in state.custom))


def slice_part(seconds: float) -> float:
    """The part of the cash for a slice, so many seconds after the canary's first weight: known beforehand, whatever is counted."""
    return SLICE * min(1.0, HOUR / max(seconds, 1.0))


def _rounded_down(cash: float) -> float:
    """To a few digits, and never above: half of the last digit is taken off first."""
    return float(f"{cash * (1.0 - 0.5 * 10.0 ** (1 - _CASH_DIGITS)):.{_CASH_DIGITS}g}")


def _turned(view: ReporterEvidence, gains: Gains, stake: float, faint: float) -> ReporterEvidence:
    return view.model_copy(update={name: products(getattr(view, name), gains.get(name), stake, faint) for name in TESTS})


def _turned_custom(metric: CustomEvidence, gains: Sequence[float] | None, stake: float, faint: float) -> CustomEvidence:
    return metric.model_copy(update={"logs": products(metric.logs, gains, stake if metric.ratio else 0.0, faint)})


def products(logs: Sequence[float], gains: Sequence[float] | None, stake: float, faint: float) -> tuple[float, ...]:
    """A test's running products (as logs) after a turn: a stake divided evenly among them, then the gains where anything is staked, then
    rounded down to short numbers within the bounds of what can be stored; what is not above `faint` is nothing any more.
    """
    each = math.log(stake / len(logs)) if stake > 0.0 else -math.inf
    lost = each - _NOTHING
    kept = []
    # The commonest computation of all: written out, without a call for each number.
    for log, gain in zip(logs, gains or (0.0,) * len(logs), strict=True):
        staked = each if log < lost else log + log1p(exp(each - log)) if log > each else each + log1p(exp(log - each))
        if staked > NO_STAKE:
            staked += gain
        if staked > faint:
            kept.append(floor(staked * _STEPS_OF_A_NAT) / _STEPS_OF_A_NAT if staked < _MOST else _MOST)
        else:  # what is no number, too
            kept.append(NO_STAKE)
    return tuple(kept)


def worth(logs: Sequence[float]) -> float:
    """The sum of the running products, bounded so that it is always a finite number."""
    return sum([exp(log if log < _MOST_EXP else _MOST_EXP) for log in logs if log > NO_STAKE])
