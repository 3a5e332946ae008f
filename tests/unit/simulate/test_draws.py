"""Counts drawn in plain Python have the distribution they are named after."""

import statistics
from random import Random

import pytest
from canaryrollout.simulate.draws import binomial, poisson

DRAWS = 20_000


@pytest.mark.parametrize("mean", [0.0, 0.02, 0.7, 5.0, 11.9, 12.1, 40.0, 3_000.0])
def test_poisson_counts_have_their_mean_as_variance(mean: float) -> None:
    rng = Random(1)
    found = [poisson(rng, mean) for _ in range(DRAWS)]
    assert statistics.fmean(found) == pytest.approx(mean, abs=4.5 * (mean / DRAWS) ** 0.5)
    assert statistics.pvariance(found) == pytest.approx(mean, rel=0.06, abs=0.01)
    assert min(found) >= 0


def test_poisson_counts_around_the_change_of_method_agree() -> None:
    rng = Random(2)
    below = [poisson(rng, 11.999) for _ in range(DRAWS)]
    above = [poisson(rng, 12.001) for _ in range(DRAWS)]
    for k in range(4, 22):
        shares = sum(found <= k for found in below) / DRAWS, sum(found <= k for found in above) / DRAWS
        assert shares[0] == pytest.approx(shares[1], abs=0.02)


@pytest.mark.parametrize(("n", "p"), [(0, 0.5), (7, 0.3), (20, 0.9), (21, 0.05), (1_000, 0.001), (5_000, 0.5), (200, 0.99)])
def test_binomial_counts_have_their_mean_and_variance(n: int, p: float) -> None:
    rng = Random(3)
    found = [binomial(rng, n, p) for _ in range(DRAWS)]
    spread = (n * p * (1 - p) / DRAWS) ** 0.5
    assert statistics.fmean(found) == pytest.approx(n * p, abs=4.5 * spread)
    assert statistics.pvariance(found) == pytest.approx(n * p * (1 - p), rel=0.08, abs=0.01)
    assert 0 <= min(found) <= max(found) <= n


def test_certain_and_impossible_things_need_no_luck() -> None:
    assert binomial(Random(1), 1_000, 1.0) == 1_000
    assert binomial(Random(1), 1_000, 0.0) == 0
