"""Finding deployments in counts over time, and thinning what they had."""

from random import Random

import pytest
from canaryrollout.api.evidence import Baseline
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.core.snapshot import Counts, Reporter, Slice
from canaryrollout.simulate.backtest import longest_seconds
from canaryrollout.simulate.history import HistorySource, Past, Release, find_deployments

STEP = 60.0
V1, V2, V3 = (Release(f"reviews-v{number}", f"v{number}") for number in (1, 2, 3))


def busy(*spans: tuple[float, float]) -> list[tuple[float, float]]:
    """Requests in spans of hours."""
    return [(minute * STEP, 100.0) for begin, end in spans for minute in range(int(begin * 60), int(end * 60))]


def test_a_release_that_takes_over_is_a_deployment() -> None:
    (found,) = find_deployments({V1: busy((0, 10)), V2: busy((10, 20))}, 0.0, STEP)
    assert (found.canary, found.stable, found.begun) == (V2, V1, 36_000.0)
    assert found.ended == (20 * 60 - 1) * STEP


def test_what_was_there_from_the_beginning_was_not_deployed() -> None:
    assert find_deployments({V1: busy((0, 10)), V2: busy((0.5, 10))}, 0.0, STEP) == []


def test_a_first_release_has_nothing_to_fall_back_to() -> None:
    assert find_deployments({V1: busy((5, 10))}, 0.0, STEP) == []


def test_a_short_silence_is_no_deployment_and_a_long_one_is() -> None:
    history = {V1: busy((0, 24)), V2: busy((5, 6), (6.5, 7), (12, 13))}
    found = find_deployments(history, 0.0, STEP)
    assert [(d.begun / 3600, round(d.ended / 3600)) for d in found] == [(5.0, 7), (12.0, 13)]


def test_the_busiest_release_just_before_is_the_one_to_fall_back_to() -> None:
    history = {V1: busy((0, 4)), V2: busy((4, 10)), V3: busy((10, 12))}
    found = find_deployments(history, 0.0, STEP)
    assert [(d.canary, d.stable) for d in found] == [(V2, V1), (V3, V2)]


def test_a_coarse_look_back_finds_the_same_deployment() -> None:
    step = 1_020.0
    history = {
        V1: [(step * index, 9.0) for index in range(100)],
        V2: [(step * index, 9.0) for index in range(100, 150)],
    }
    assert [(d.canary, d.stable) for d in find_deployments(history, 0.0, step)] == [(V2, V1)]


def past(canary: Counts, stable: Counts, stable_before: Counts | None = None) -> Past:
    """An hour of stable alone, and an hour of both."""
    slices = {}
    for index in range(1_440):
        after = index >= 720
        own = (canary, stable) if after else (Counts(), stable_before or stable)
        slices[index, Reporter.DESTINATION] = Slice(index * 5.0, index * 5.0 + 5.0, Reporter.DESTINATION, *own)
    return Past(0.0, 5.0, slices, Baseline(), 1_440)


def thinned(source: HistorySource, weight: int) -> tuple[Counts, Counts]:
    source.run_to(3_600.0)
    source.set_weight(weight)
    pieces = [p for p in source.slices(3_600.0, 5.0, 700) if p.reporter is Reporter.DESTINATION]
    names = ("total", "errors", "timed", "not_fast", "slow", "aborted")
    sums = [Counts(**{n: sum(getattr(getattr(p, who), n) for p in pieces) for n in names}) for who in ("canary", "stable")]
    return sums[0], sums[1]


def test_a_release_that_had_everything_is_thinned_to_the_weight() -> None:
    all_of_it = Counts(total=1_000, errors=100, timed=900, not_fast=90, slow=45, aborted=10)
    source = HistorySource(past(all_of_it, Counts(), Counts(total=1_000, errors=1)), Random(1), 0.0)
    canary, stable = thinned(source, 10)
    assert canary.total == pytest.approx(70_000, rel=0.02)
    assert canary.errors == pytest.approx(7_000, rel=0.05)
    assert canary.slow == pytest.approx(3_150, rel=0.08)
    assert stable.total == pytest.approx(630_000, rel=0.01)
    assert source.failed[Reporter.DESTINATION] == canary.errors


def test_a_release_that_had_less_than_the_weight_is_taken_whole() -> None:
    source = HistorySource(past(Counts(total=100), Counts(total=900)), Random(1), 0.0)
    canary, stable = thinned(source, 50)
    assert canary.total == 70_000
    assert stable.total == pytest.approx(350_000, rel=0.02)


def test_shares_are_taken_over_slices_in_which_only_one_was_scraped() -> None:
    made = past(Counts(), Counts())
    slices = {
        (index, Reporter.DESTINATION): Slice(
            index * 5.0,
            index * 5.0 + 5.0,
            Reporter.DESTINATION,
            Counts(total=100) if index % 2 else Counts(),
            Counts() if index % 2 else Counts(total=900),
        )
        for index in range(1_440)
    }
    canary, stable = thinned(HistorySource(Past(0.0, 5.0, slices, made.baseline, 1_440), Random(1), 0.0), 5)
    assert canary.total / (canary.total + stable.total) == pytest.approx(0.05, rel=0.1)


def test_slices_off_the_grid_count_everything_once() -> None:
    source = HistorySource(past(Counts(total=1_000), Counts(total=1_000)), Random(1), 0.0)
    source.run_to(3_600.0)
    source.set_weight(50)
    pieces = (*source.slices(3_600.0, 5.0, 10), *source.slices(3_650.0, 2.3, 1), *source.slices(3_652.3, 5.0, 10))
    assert sum(piece.canary.total for piece in pieces if piece.reporter is Reporter.DESTINATION) == 20 * 1_000


def test_a_step_that_has_to_last_longer_than_its_longest_time_gets_the_time() -> None:
    steps = [{"weight": 50, "minDuration": "2h"}, {"weight": 100, "analysis": {"maxDuration": "30m"}}]
    spec = CanaryRolloutSpec.model_validate({"service": "reviews", "version": "v2", "steps": steps})
    assert longest_seconds(spec) == 2 * 3600 + 1800 + 2 * 60
