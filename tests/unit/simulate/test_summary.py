"""Shares with exact intervals, and quantiles."""

import math

import pytest
from canaryrollout.simulate.many import Run
from canaryrollout.simulate.summary import groups, median_run, quantile, share, step_times


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 2_000, 0.0, 1.0 - 0.025 ** (1 / 2_000)),
        (5, 100, 0.016432, 0.112835),
        (50, 100, 0.398321, 0.601679),
        (10, 10, 0.025 ** (1 / 10), 1.0),
    ],
)
def test_intervals_are_those_of_clopper_and_pearson(count: int, of: int, low: float, high: float) -> None:
    found = share(count, of)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


def test_quantiles_of_nothing_are_not_a_number() -> None:
    assert math.isnan(quantile([], 0.5))
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0, 2.0], 0.95) == 2.0


def run(outcome: str, seconds: float, weight: int = 100) -> Run:
    return Run(
        seed=f"1/{seconds}",
        outcome=outcome,  # type: ignore[arg-type]
        seconds=seconds,
        weight=weight,
        reason="",
        explanation="",
        requests=10,
        failed=1,
        since_fault=None,
        steps=((5, seconds / 2), (weight, seconds / 2)),
    )


def test_runs_are_grouped_by_outcome_the_commonest_first() -> None:
    runs = [run("RolledBack", 9.0, 10), run("Promoted", 1.0), run("Promoted", 3.0), run("Promoted", 2.0)]
    promoted, undone = groups(runs)
    assert (promoted.outcome, promoted.share.count, promoted.seconds[0]) == ("Promoted", 3, 2.0)
    assert (undone.outcome, undone.weights) == ("RolledBack", {10: 1})
    assert median_run(runs).seconds == 2.0


def test_a_step_that_was_not_passed_has_no_time() -> None:
    times = step_times([run("RolledBack", 8.0, 10), run("Promoted", 2.0)])
    assert [(step.weight, step.runs) for step in times] == [(5, 2), (100, 1)]
