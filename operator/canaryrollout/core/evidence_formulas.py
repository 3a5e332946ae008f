"""The betting formulas behind the evidence: log likelihood ratios of counts, in nats.

Each likelihood ratio has expectation at most 1 while the null hypothesis holds, so that by Ville's inequality the chance
that a running product (or a mean of such products) ever reaches 1/alpha is at most alpha, however often one looks.
Absolute test: Robbins' mixtures; see Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform Chernoff bounds" (2020).
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

SLICE_CAP = 4.0
"""Most nats that one slice may add against the canary: a single burst of failures must not decide a rollout alone."""

FAIL_MULTIPLES = (1.5, 2.0, 3.0, 5.0, 10.0, 25.0, 60.0)
"""Alternatives of the absolute test: the canary's rate is this many times the limit."""

PASS_MULTIPLES = (0.02, 0.1, 0.25, 0.5, 0.75)
"""Alternatives of the passing test: the canary's rate is this part of the limit."""

CATASTROPHE_LIMIT = 0.2
CATASTROPHE_RATES = (0.3, 0.5, 0.75, 0.9)

_HIGHEST_ALTERNATIVE = 0.9
_TINY = 1e-6
_BOUND = 1e9
_MOST_STEPS = 30
_NEAR = 0.001


class Bet(NamedTuple):
    """An alternative rate against the null: what one bad and one good request add to its log likelihood ratio, in nats."""

    bad: float
    good: float

    def log_ratio(self, bad: float, total: float) -> float:
        """ln of P(bad of total | alternative) / P(bad of total | null); `bad` above `total` counts as all bad. Finite."""
        return min(max(bad * self.bad + max(total - bad, 0.0) * self.good, -_BOUND), _BOUND)


def bets(rates: Iterable[float], null: float) -> tuple[Bet, ...]:
    """The bets on alternative rates against a null rate; all strictly between 0 and 1."""
    return tuple(Bet(math.log(rate / null), math.log((1.0 - rate) / (1.0 - null))) for rate in rates)


def log_mean_exp(values: Sequence[float]) -> float:
    """ln of the mean of exp(values), without overflow. `values` is not empty."""
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values) / len(values))


def null_rate(limit: float) -> float:
    """The limit as a rate under which logarithms exist: limits of 0 % and 100 % are legal and must not break the sums."""
    return min(max(limit, _TINY), 1.0 - _TINY)


@lru_cache
def failing_bets(limit: float) -> tuple[Bet, ...]:
    """Against "rate ≤ limit". Every alternative lies above the limit, or the test would punish good canaries."""
    null = null_rate(limit)
    midway = (1.0 + null) / 2.0
    capped = (min(multiple * null, _HIGHEST_ALTERNATIVE) for multiple in FAIL_MULTIPLES)
    return bets((rate if rate > null else midway for rate in capped), null)


@lru_cache
def catastrophe_bets(limit: float) -> tuple[Bet, ...]:
    """Against "rate ≤ 20 %", or ≤ the limit where that is higher still."""
    null = max(CATASTROPHE_LIMIT, null_rate(limit))
    return bets([rate for rate in CATASTROPHE_RATES if rate > null] or [(1.0 + null) / 2.0], null)


@lru_cache
def passing_bets(limit: float) -> tuple[Bet, ...]:
    """Against "rate ≥ limit"."""
    null = null_rate(limit)
    return bets((multiple * null for multiple in PASS_MULTIPLES), null)


def add_slice(logs: Iterable[float], bad: float, total: float, limit: float) -> tuple[float, ...]:
    """The running products (as logs, one per alternative) with one more slice, each alternative capped by itself."""
    gains = (min(bet.log_ratio(bad, total), SLICE_CAP) for bet in failing_bets(limit))
    return tuple(_storable(log + gain) for log, gain in zip(logs, gains, strict=True))


def log_catastrophe(bad: float, total: float, limit: float) -> float:
    """ln evidence that the rate is above 20 % (or above a limit that is higher still), from counts; not capped."""
    return log_mean_exp([bet.log_ratio(bad, total) for bet in catastrophe_bets(limit)])


def log_pass(bad: float, total: float, limit: float) -> float:
    """ln evidence that the rate is below the limit, from counts since the step's proof; not capped."""
    return log_mean_exp([bet.log_ratio(bad, total) for bet in passing_bets(limit)])


def requests_to_pass(bad: float, total: float, limit: float, line: float) -> int | None:
    """About how many more requests at the rate seen so far bring log_pass to `line`; None where that rate is too near the limit.

    The evidence never grows faster than its best bet, so steps at that pace come near the line from below.
    """
    rate = bad / total if total > 0.0 else 0.0
    fastest = max(bet.log_ratio(rate, 1.0) for bet in passing_bets(limit))
    if fastest <= 0.0:
        return None
    more = 0.0
    for _ in range(_MOST_STEPS):
        missing = line - log_pass(bad + rate * more, total + more, limit)
        if missing < _NEAR:
            break
        more += missing / fastest
    return math.ceil(more)


def _storable(log: float) -> float:
    """Bounded, and rounded far below any effect, so that a stored number is short and read back equal (never -0)."""
    return round(min(max(log, -_BOUND), _BOUND), 6) + 0.0
