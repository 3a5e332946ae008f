"""What the engine promises, held against seeded rollouts of bounded number; `python -m bench.montecarlo` runs the full size."""

import pytest
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.simulate.many import run_many
from canaryrollout.simulate.summary import quantile
from canaryrollout.simulate.traffic import Traffic

from bench.compare import engine
from bench.montecarlo import BOUNDARY, BURSTY, Case, rollbacks

WEIGHTS = (5, 10, 25, 50, 100)
SPEC = CanaryRolloutSpec(service="reviews", version="v2")


@pytest.mark.parametrize("case", BOUNDARY, ids=lambda case: case.name)
def test_a_canary_at_its_limit_is_hardly_ever_rolled_back(case: Case) -> None:
    """At 1 % there are more than three among 60 once in 3,000 times."""
    assert rollbacks(case.run(60, processes=1)).count <= 3


@pytest.mark.parametrize("case", BURSTY, ids=lambda case: case.name)
def test_a_healthy_release_with_errors_in_clumps_is_not_rolled_back(case: Case) -> None:
    """At 0.5 % there are more than one among 40 once in 60 times."""
    assert rollbacks(case.run(40, processes=1)).count <= 1


def test_half_of_the_answers_failing_is_found_at_once() -> None:
    runs = run_many(SPEC, Traffic(rps=500, canary_errors=0.5, stable_errors=0.001), 40, processes=1)
    assert {(run.outcome, run.weight) for run in runs} == {("RolledBack", 5)}
    assert quantile([float(run.failed) for run in runs], 0.5) < 250


def test_a_twentieth_of_the_answers_failing_is_found_by_the_second_step() -> None:
    runs = run_many(SPEC, Traffic(rps=50, canary_errors=0.05, stable_errors=0.001), 40, processes=1)
    assert {run.outcome for run in runs} == {"RolledBack"}
    assert max(run.weight for run in runs) <= 10


def test_worse_than_stable_but_below_the_limit_is_found_where_there_is_traffic() -> None:
    runs = [engine(Traffic(rps=500, canary_errors=0.005, stable_errors=0.001), WEIGHTS, f"1/{seed}") for seed in range(20)]
    assert rollbacks(runs).share > 0.5
