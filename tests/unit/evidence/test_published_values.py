"""Our bets against values that other implementations have published.

Those mix over a continuum of alternatives, we over a handful; what is mixed is the same likelihood ratio. Integrating ours over their
mixing densities must therefore give their numbers, as far as they are printed.
"""

import math
from collections.abc import Callable

import pytest
from canaryrollout.core.evidence_formulas import bets, relative_gains

POINTS = 4000
FAR = 36.0
"""Beyond these logarithms of odds a rate is 0 or 1 in a float."""


def log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def mixed(a: float, b: float, log_ratio: Callable[[float], float]) -> float:
    """ln of the mean of exp(log_ratio(q)) where q is Beta(a, b); log_ratio falls steeply towards 0 and 1.

    By the midpoint rule over ln(q / (1 - q)), in which no beta density has a pole.
    """
    odds = [-FAR + 2.0 * FAR * (index + 0.5) / POINTS for index in range(POINTS)]
    densities = [-a * math.log1p(math.exp(-u)) - b * math.log1p(math.exp(u)) for u in odds]
    values = [density + log_ratio(1.0 / (1.0 + math.exp(-u))) for u, density in zip(odds, densities, strict=True)]
    return _log_sum(values) + math.log(2.0 * FAR / POINTS) - log_beta(a, b)


def mixed_above(least: float, a: float, b: float, log_ratio: Callable[[float], float]) -> float:
    """The same where q is above `least`."""
    grid = [least + (1.0 - least) * (index + 0.5) / POINTS for index in range(POINTS)]
    densities = [(a - 1.0) * math.log(q) + (b - 1.0) * math.log1p(-q) for q in grid]
    return _log_sum([density + log_ratio(q) for q, density in zip(grid, densities, strict=True)]) - _log_sum(densities)


def _log_sum(values: list[float]) -> float:
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function changes its sign between two places."""
    sign = function(low) > 0.0
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if (function(middle) > 0.0) == sign else (low, middle)
    return low


def best_rho(v_opt: float, alpha: float) -> float:
    """Howard and others: the parameter of a normal mixture that is tightest at the intrinsic time v_opt."""
    return v_opt / (2.0 * math.log(1.0 / alpha) + math.log(1.0 + 2.0 * math.log(1.0 / alpha)))


def test_the_poisson_example_of_savvi() -> None:
    """Assignment in the proportions 0.8 and 0.2, a Dirichlet prior of weight 100 around them, counts 148 and 62."""
    log = mixed(80.0, 20.0, lambda q: bets([q], 0.8)[0].log_ratio(148, 210))
    assert math.exp(-log) == pytest.approx(0.0455796317592497, rel=1e-11)


def test_the_relative_test_is_the_same_likelihood_ratio() -> None:
    """Its null at equal rates is the share of the requests; its alternatives are other shares of the errors."""
    gains = relative_gains(14, 800, 6, 200, increase=1.0, burst=1.0)
    assert gains is not None
    for multiple, gain in zip((1.5, 2.0, 3.0), gains, strict=False):
        share = multiple * 800 / (multiple * 800 + 200)
        assert gain == pytest.approx(bets([share], 0.8)[0].log_ratio(14, 20))


@pytest.mark.parametrize(
    ("successes", "trials", "t_opt", "low", "high"),
    [(700, 1000, 100, "0.651629", "0.745949"), (5, 50, 50, "0.013021", "0.269264")],
)
def test_the_bernoulli_confidence_intervals_of_confseq(successes: int, trials: int, t_opt: int, low: str, high: str) -> None:
    """The rates that the evidence does not reject at 5 %, mixed by a beta distribution around each."""

    def excess(p: float) -> float:
        variance = p * (1.0 - p)
        r = max(best_rho(t_opt * variance, 0.05) - variance, 1e-3 * variance)
        return mixed(r / (1.0 - p), r / p, lambda q: bets([q], p)[0].log_ratio(successes, trials)) - math.log(20.0)

    middle = successes / trials
    assert root(excess, 1e-4, middle) == pytest.approx(float(low), abs=1e-6)
    assert root(excess, middle, 1.0 - 1e-4) == pytest.approx(float(high), abs=1e-6)


def test_the_beta_binomial_mixture_bound_of_confseq() -> None:
    """One-sided, at intrinsic time 100: how far a sum may wander, at 5 %, when each of 625 trials succeeds with chance 0.2."""
    p, trials = 0.2, 625
    r = best_rho(100.0, 0.1) - p * (1.0 - p)
    bound = root(
        lambda s: mixed_above(p, r / (1.0 - p), r / p, lambda q: bets([q], p)[0].log_ratio(trials * p + s, trials)) - math.log(20.0),
        0.0,
        100.0,
    )
    assert bound == pytest.approx(28.41238, abs=5e-6)
