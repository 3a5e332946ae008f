"""The betting formulas behind the evidence: log likelihood ratios of counts, in nats.

Each likelihood ratio has expectation at most 1 while the null hypothesis holds, so that by Ville's inequality the chance
that a running product (or a weighted mean of such products) ever reaches 1/alpha is at most alpha, however often one looks.
Absolute test: Robbins' mixtures; see Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform Chernoff bounds" (2020).
Relative test: Lindon and Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022, arXiv 2011.03567), with a
theta per slice, so that a change of weights needs no special case.
Dividing by a burst factor (chi squared per degree of freedom, a quasi-likelihood) allows for errors that come in clumps.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

SLICE_CAP = 4.0
"""Most nats that one slice may add against the canary: a single burst of failures must not decide a rollout alone."""

FAIL_MULTIPLES = (1.5, 2.0, 3.0, 5.0, 10.0, 25.0, 60.0)
"""Alternatives of the absolute test: the canary's rate is this many times the limit."""

RELATIVE_MULTIPLES = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
"""Alternatives of the relative test: the canary's rate is this many times what stable's allows."""

PASS_MULTIPLES = (0.02, 0.1, 0.25, 0.5, 0.75)
"""Alternatives of the passing test: the canary's rate is this part of the limit."""

CATASTROPHE_RATES = (0.3, 0.5, 0.75, 0.9)

_HIGHEST_ALTERNATIVE = 0.9
_TINY = 1e-6
_BOUND = 1e6
_MOST_STEPS = 30
_NEAR = 0.001


class Bet(NamedTuple):
    """An alternative rate against the null: what one bad and one good request add to its log likelihood ratio, in nats."""

    bad: float
    good: float

    def log_ratio(self, bad: float, total: float) -> float:
        """ln of P(bad of total | alternative) / P(bad of total | null); `bad` above `total` counts as all bad."""
        return bad * self.bad + max(total - bad, 0.0) * self.good


def bets(rates: Iterable[float], null: float) -> tuple[Bet, ...]:
    """The bets on alternative rates against a null rate; all strictly between 0 and 1."""
    return tuple(Bet(math.log(rate / null), math.log((1.0 - rate) / (1.0 - null))) for rate in rates)


def rate(bad: float, total: float) -> float:
    """The share of bad ones; 0 of none."""
    return bad / total if total > 0.0 else 0.0


def bounded_exp(log: float) -> float:
    """exp, bounded so that it is always a finite number."""
    return math.exp(min(log, 600.0))


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
def catastrophe_bets(limit: float, abort_rate: float) -> tuple[Bet, ...]:
    """Against "rate ≤ abort_rate", or ≤ the limit where that is higher still."""
    null = max(null_rate(abort_rate), null_rate(limit))
    midway = (1.0 + null) / 2.0
    return bets((rate if rate > null else midway for rate in CATASTROPHE_RATES), null)


@lru_cache
def passing_bets(limit: float) -> tuple[Bet, ...]:
    """Against "rate ≥ limit"."""
    null = null_rate(limit)
    return bets((multiple * null for multiple in PASS_MULTIPLES), null)


def absolute_gains(bad: float, total: float, limit: float, burst: float) -> tuple[float, ...]:
    """What a slice adds to each alternative of the absolute test, each capped by itself."""
    good = max(total - bad, 0.0)
    return tuple([min((bad * each_bad + good * each_good) / burst, SLICE_CAP) for each_bad, each_good in failing_bets(limit)])


def catastrophe_gains(bad: float, total: float, limit: float, abort_rate: float, burst: float) -> tuple[float, ...]:
    """What a slice adds to each alternative of the catastrophe test; not capped."""
    return tuple([bet.log_ratio(bad, total) / burst for bet in catastrophe_bets(limit, abort_rate)])


def relative_gains(
    bad: float, total: float, stable_bad: float, stable_total: float, *, increase: float, burst: float
) -> tuple[float, ...] | None:
    """What a slice adds to each alternative of "the canary's rate ≤ increase x stable's"; None where it says nothing.

    Given that an error has happened, it is the canary's with chance theta(z) = z n / (z n + m) when the canary's rate is z times stable's.
    """
    if total <= 0.0 or stable_total <= 0.0 or not math.isfinite(increase):
        return None
    if bad <= 0.0 and stable_bad <= 0.0:
        return (0.0,) * len(RELATIVE_MULTIPLES)
    bad, stable_bad = min(bad, total), min(stable_bad, stable_total)
    null = _share(increase, total, stable_total)
    gains = []
    for multiple in RELATIVE_MULTIPLES:
        share = _share(multiple * increase, total, stable_total)
        gain = bad * math.log(share / null) + stable_bad * math.log((1.0 - share) / (1.0 - null))
        gains.append(min(max(gain / burst, -_BOUND), SLICE_CAP))
    return tuple(gains)


def _share(times: float, total: float, stable_total: float) -> float:
    return min(max(times * total / (times * total + stable_total), _TINY), 1.0 - _TINY)


@lru_cache(maxsize=1024)
def log_pass(bad: float, total: float, limit: float, burst: float = 1.0) -> float:
    """ln evidence that the rate is below the limit, from counts since the proof; not capped."""
    return log_mean_exp([bet.log_ratio(bad, total) / burst for bet in passing_bets(limit)])


@lru_cache(maxsize=1024)
def requests_to_pass(bad: float, total: float, limit: float, line: float, burst: float = 1.0, *, rate: float | None = None) -> int | None:
    """About how many more requests at `rate` (else the rate seen so far) bring log_pass to `line`; None where that is too near the limit.

    The evidence never grows faster than its best bet, so steps at that pace come near the line from below.
    """
    expected = rate if rate is not None else bad / total if total > 0.0 else 0.0
    fastest = max(bet.log_ratio(expected, 1.0) for bet in passing_bets(limit)) / burst
    if fastest <= 0.0:
        return None
    more = 0.0
    for _ in range(_MOST_STEPS):
        missing = line - log_pass(bad + expected * more, total + more, limit, burst)
        if missing < _NEAR:
            break
        more += missing / fastest
    return math.ceil(more)
