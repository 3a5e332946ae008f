"""The betting formulas behind the evidence: log likelihood ratios of counts, in nats.

Each likelihood ratio has expectation at most 1 while the null hypothesis holds, so that by Ville's inequality the chance
that a running product (or a mean of such products) ever reaches 1/alpha is at most alpha, however often one looks.
Absolute test: Robbins' mixtures; see Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform Chernoff bounds" (2020).
"""

import bisect
import math
from collections.abc import Iterable, Sequence

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
_MOST_REQUESTS = 10_000_000


def log_likelihood_ratio(bad: float, total: float, rate: float, null: float) -> float:
    """ln of P(bad of total | rate) / P(bad of total | null); `bad` above `total` counts as all bad. Finite."""
    good = max(total - bad, 0.0)
    nats = bad * math.log(rate / null) + good * math.log((1.0 - rate) / (1.0 - null))
    return min(max(nats, -_BOUND), _BOUND)


def log_mean_exp(values: Sequence[float]) -> float:
    """ln of the mean of exp(values), without overflow. `values` is not empty."""
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values) / len(values))


def null_rate(limit: float) -> float:
    """The limit as a rate under which logarithms exist: limits of 0 % and 100 % are legal and must not break the sums."""
    return min(max(limit, _TINY), 1.0 - _TINY)


def rates_above(limit: float) -> tuple[float, ...]:
    """The alternatives against which "rate ≤ limit" is tested. All above the limit, or the test would punish good canaries."""
    null = null_rate(limit)
    midway = (1.0 + null) / 2.0
    capped = (min(multiple * null, _HIGHEST_ALTERNATIVE) for multiple in FAIL_MULTIPLES)
    return tuple(rate if rate > null else midway for rate in capped)


def add_slice(logs: Iterable[float], bad: float, total: float, limit: float) -> tuple[float, ...]:
    """The running products (as logs, one per alternative) with one more slice, each alternative capped by itself."""
    null = null_rate(limit)
    gains = (min(log_likelihood_ratio(bad, total, rate, null), SLICE_CAP) for rate in rates_above(limit))
    return tuple(_storable(log + gain) for log, gain in zip(logs, gains, strict=True))


def log_catastrophe(bad: float, total: float, limit: float) -> float:
    """ln evidence that the rate is above 20 % (or above a limit that is higher still), from counts; not capped."""
    null = max(CATASTROPHE_LIMIT, null_rate(limit))
    rates = [rate for rate in CATASTROPHE_RATES if rate > null] or [(1.0 + null) / 2.0]
    return log_mean_exp([log_likelihood_ratio(bad, total, rate, null) for rate in rates])


def log_pass(bad: float, total: float, limit: float) -> float:
    """ln evidence that the rate is below the limit, from counts since the step's proof; not capped."""
    null = null_rate(limit)
    return log_mean_exp([log_likelihood_ratio(bad, total, multiple * null, null) for multiple in PASS_MULTIPLES])


def requests_to_pass(bad: float, total: float, limit: float, line: float) -> int | None:
    """How many more requests at the rate seen so far bring log_pass to `line`; None where that rate is too near the limit."""
    rate = bad / total if total > 0.0 else 0.0

    def short(more: int) -> bool:
        return log_pass(bad + rate * more, total + more, limit) < line

    if not short(0):
        return 0
    enough = 1
    while short(enough):
        enough *= 2
        if enough > _MOST_REQUESTS:
            return None
    return bisect.bisect_left(range(enough), True, key=lambda more: not short(more))


def _storable(log: float) -> float:
    """Bounded, and rounded far below any effect, so that a stored number is short and read back equal (never -0)."""
    return round(min(max(log, -_BOUND), _BOUND), 6) + 0.0
