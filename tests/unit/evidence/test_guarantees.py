"""What the evidence promises, checked exactly where that is possible and by many seeded rollouts where it is not."""

import math
import random
from dataclasses import replace
from itertools import product

import pytest
from canaryrollout.core import stakes
from canaryrollout.core.evidence import EvidenceState, begin_step
from canaryrollout.core.limits import FRESH, Limits
from canaryrollout.core.snapshot import Reporter
from canaryrollout.core.verdict import Pass, evidence_against, verdict
from counting import LIMITS, counts, fed, started

STEPS = (5, 10, 25, 50, 100)
ONE = (Reporter.DESTINATION,)


def binomial(n: int, x: int, p: float) -> float:
    return math.comb(n, x) * p**x * (1 - p) ** (n - x)


def test_the_shares_of_the_tests_are_the_whole_stake() -> None:
    parts = (stakes.ERRORS, stakes.ERRORS_RELATIVE, stakes.CATASTROPHE, stakes.SLOW, stakes.SLOW_RELATIVE)
    assert sum(parts) == pytest.approx(1.0)


def test_evidence_starts_at_one_and_stays_there_without_requests() -> None:
    assert evidence_against(EvidenceState(), LIMITS) == 1.0
    state = started()
    for _ in STEPS:
        state = begin_step(fed(state, (counts(0), counts(0))))
    assert evidence_against(state, replace(LIMITS, relative_floor=0.0)) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("rate", "n", "m"), [(0.01, 3, 3), (0.005, 4, 2), (0.01, 2, 6)])
def test_the_expected_evidence_against_a_canary_at_its_limit_is_at_most_one_after_slices_and_steps(rate: float, n: int, m: int) -> None:
    """Exactly: over every outcome of two slices in two steps, canary and stable alike, both reporters seeing the same."""
    limits = replace(LIMITS, relative_floor=0.0, max_increase=1.0)
    chances = [(x, y, binomial(n, x, rate) * binomial(m, y, rate)) for x in range(n + 1) for y in range(m + 1)]
    expected = 0.0
    for (x, y, first), (v, w, second) in product(chances, chances):
        state = begin_step(fed(started(limits), (counts(n, x), counts(m, y)), limits=limits))
        expected += first * second * evidence_against(fed(state, (counts(n, v), counts(m, w)), limits=limits), limits)
    # What is stored is rounded down: no allowance but for the sum itself.
    assert expected <= 1.0 + 1e-12


def draw(rng: random.Random, n: int, rate: float) -> int:
    return sum(rng.random() < rate for _ in range(n))


def passes(rng: random.Random, rates: tuple[float, ...], slices: int = 60, requests: int = 40) -> int:
    """How many steps a canary passes whose error rate differs from step to step."""
    state = EvidenceState()
    for index, (weight, rate) in enumerate(zip(STEPS, rates, strict=True)):
        limits: Limits = replace(LIMITS, last=weight == STEPS[-1])
        state = started(limits) if index == 0 else begin_step(state)
        for _ in range(slices):
            state = fed(state, (counts(requests, draw(rng, requests, rate)), counts(0)), limits=limits, reporters=ONE)
            if isinstance(verdict(state, limits, ()), Pass):
                break
        else:
            return index
    return len(STEPS)


def upper_bound(chance: float, runs: int) -> float:
    """Three standard deviations above what a chance allows."""
    return chance * runs + 3.0 * math.sqrt(chance * (1.0 - chance) * runs)


def test_a_canary_at_its_limit_passes_any_step_with_chance_at_most_beta() -> None:
    runs = 250
    passed = sum(passes(random.Random(seed), (0.01,) * 5) > 0 for seed in range(runs))
    assert 0 < passed <= upper_bound(LIMITS.beta, runs)


def test_a_canary_that_reaches_its_limit_at_full_weight_is_promoted_with_chance_at_most_beta() -> None:
    runs = 250
    rates = (0.0, 0.0, 0.0, 0.0, 0.01)
    promoted = sum(passes(random.Random(seed), rates) == len(STEPS) for seed in range(runs))
    assert 0 < promoted <= upper_bound(LIMITS.beta, runs)


def test_a_canary_that_reaches_its_limit_on_the_way_passes_that_step_with_chance_at_most_a_fifth_and_hardly_the_next() -> None:
    runs = 250
    found = [passes(random.Random(seed), (0.0, 0.0, 0.0, 0.01, 0.01)) for seed in range(runs)]
    assert all(steps >= 3 for steps in found)
    assert sum(steps >= 4 for steps in found) <= upper_bound(1.0 / FRESH, runs)
    assert sum(steps == 5 for steps in found) <= upper_bound(LIMITS.beta / FRESH, runs)
