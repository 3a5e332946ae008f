"""Verdicts of each kind of test, and what they say."""

from dataclasses import replace
from random import Random

import pytest
from canaryrollout.api.evidence import Baseline, EvidenceState, ReporterBaseline
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.core.evidence import begin_step, observe, resume_step
from canaryrollout.core.limits import Bursts, Limits, limits_of
from canaryrollout.core.snapshot import Counts, CustomMetricQuery, CustomSlice, Poll, Reporter, Slice
from canaryrollout.core.verdict import Fail, Pass, Wait, against, evidence_against, verdict
from counting import LIMITS, counts, fed, started


def failed(state: EvidenceState, limits: object = LIMITS) -> Fail:
    found = verdict(state, limits, ())  # type: ignore[arg-type]
    assert isinstance(found, Fail), found
    return found


def test_a_rate_under_the_limit_but_many_times_stables_is_a_failure() -> None:
    rows = [(counts(500, 3), counts(9500, 1))] * 12
    found = failed(fed(started(), *rows))
    assert found.numbers is not None
    assert found.numbers.test == "relative"
    assert "limit 1 % and 2x stable's, stable 0.0105 %" in found.explanation


def test_a_rate_under_the_floor_is_no_failure_however_little_stable_shows() -> None:
    rows = [(counts(500, 1), counts(9500, 0))] * 40
    assert not isinstance(verdict(fed(started(), *rows), LIMITS, ()), Fail)
    assert isinstance(verdict(fed(started(), *rows), replace(LIMITS, relative_floor=0.001), ()), Fail)


def test_slow_requests_are_compared_with_stables_too() -> None:
    rows = [(counts(500, 0, 4), counts(9500, 0, 2))] * 12
    assert failed(fed(started(), *rows)).metric == "latency"


def test_clients_that_give_up_count_only_in_comparison_with_stable() -> None:
    gave_up = Counts(total=100, timed=100, aborted=8)
    alike = fed(started(), *[(gave_up, Counts(total=1900, timed=1900, aborted=150))] * 20)
    assert not isinstance(verdict(alike, LIMITS, ()), Fail)
    found = failed(fed(started(), *[(gave_up, counts(1900))] * 4))
    said = "0 of 400 canary requests since the rollout began failed (0 %), and clients gave up 32 more, limit 1 % and 2x stable's"
    assert found.explanation.startswith(said)


def test_a_canary_that_never_answers_in_time_does_not_pass() -> None:
    hanging = Counts(total=100, timed=100, aborted=100)
    for slices in range(1, 8):
        found = verdict(fed(started(), *[(hanging, counts(1900))] * slices), LIMITS, ())
        assert not isinstance(found, Pass)
    assert isinstance(found, Fail)


def test_at_full_weight_only_the_limit_counts() -> None:
    before = fed(started(), (counts(5), counts(5000)))
    rows = [(counts(1000, 6), counts(0))] * 20
    assert fed(before, *rows).source.errors_relative == pytest.approx(before.source.errors_relative, abs=0.5)


def test_a_fault_after_a_long_healthy_time_is_found_as_fast_as_a_stake_can_grow() -> None:
    healthy = [(counts(50), counts(950))] * 2000
    late = fed(started(), *healthy)
    slices = 0
    while not isinstance(verdict(late, LIMITS, ()), Fail):
        late = fed(late, (counts(50, 25), counts(950)))
        slices += 1
    assert slices <= 3


def test_a_later_fault_is_explained_by_what_was_counted_since_the_trouble_began() -> None:
    state = fed(started(), *[(counts(50), counts(950))] * 200, *[(counts(50, 25), counts(950))] * 3)
    assert "75 of 150 canary requests failed (50 %)" in failed(state).explanation


def test_errors_in_clumps_weigh_less_by_the_size_of_the_clumps() -> None:
    rows = [(counts(60, 6), counts(1000)), (counts(60), counts(1000))] * 2
    assert isinstance(verdict(fed(started(), *rows), LIMITS, ()), Fail)
    bursty = Bursts(fail_errors=8.0, pass_errors=8.0)
    limits = replace(LIMITS, source=bursty, destination=bursty)
    assert not isinstance(verdict(fed(started(), *rows, limits=limits), limits, ()), Fail)
    healthy = fed(started(), *[(counts(100), counts(1900))] * 30)
    assert isinstance(verdict(healthy, LIMITS, ()), Pass)
    assert isinstance(verdict(healthy, limits, ()), Wait)
    assert isinstance(verdict(fed(started(), *[(counts(100), counts(1900))] * 31, limits=limits), limits, ()), Pass)


def test_the_burst_factor_of_few_errors_counts_for_little() -> None:
    def bursts(errors: float) -> Bursts:
        return Bursts.of(ReporterBaseline(requests=1e5, errors=errors, error_burst=10.0))

    assert bursts(0).fail_errors == 1.0
    assert 1.0 < bursts(1).fail_errors < bursts(20).fail_errors < 10.0
    assert bursts(1).pass_errors == 10.0
    assert Bursts.of(None) == Bursts()


def test_requests_that_reached_no_pod_are_charged_to_the_version_that_lacks_them() -> None:
    """Of 1,000 requests at 10 %, a hundred should have been the canary's."""
    missing = fed(started(), *[(counts(0), counts(900))] * 3, lost=100.0, weight=10)
    assert missing.source.canary.errors == missing.source.unattributed > 200.0
    assert "without reaching a pod" in failed(missing).explanation
    blameless = fed(started(), *[(counts(100), counts(800))] * 3, lost=100.0, weight=10)
    assert blameless.source.canary.errors == 0.0
    assert blameless.source.stable.errors == 300.0
    assert fed(started(), (counts(0), counts(900)), lost=100.0, weight=0).source.canary.errors == 0.0


def test_requests_that_reached_no_pod_long_ago_are_no_part_of_later_trouble() -> None:
    state = fed(started(), *[(counts(50), counts(450))] * 20, weight=10)
    state = fed(state, *[(counts(10), counts(450))] * 3, weight=10, lost=5)
    state = fed(state, *[(counts(50), counts(450))] * 200, weight=10)
    assert state.source.unattributed > 10.0
    found = failed(fed(state, *[(counts(50, 6), counts(450))] * 2, weight=10))
    assert found.explanation.startswith("12 of 100 canary requests failed (12 %), limit 1 %")


def test_clients_that_gave_up_long_ago_are_no_part_of_later_trouble() -> None:
    patient, impatient = counts(50, 3), replace(counts(50), aborted=1.0)
    state = fed(started(), *[(impatient, replace(counts(450), aborted=9.0))] * 60, weight=10)
    found = failed(fed(state, *[(patient, counts(450))] * 4, weight=10))
    assert found.explanation.startswith("12 of 200 canary requests failed (6 %), limit 1 % and 2x stable's")


def test_what_the_hour_before_already_lost_is_charged_to_nobody() -> None:
    limits = replace(LIMITS, unattributed_rate=10.0)
    state = fed(started(), (counts(0), counts(900)), lost=100.0, weight=10, limits=limits)
    assert (state.source.canary.errors, state.source.stable.errors) == (0.0, 0.0)


@pytest.mark.parametrize("weight", [5, 10, 50])
def test_chance_in_the_split_charges_nobody_with_the_requests_that_stable_loses(weight: int) -> None:
    for seed in range(12):
        rng, state = Random(seed), started()
        for _ in range(120):
            mine = sum(rng.random() < weight / 100.0 for _ in range(250))
            lost = sum(rng.random() < 0.02 for _ in range(250 - mine))
            state = fed(state, (counts(mine), counts(250 - mine - lost)), lost=float(lost), weight=weight, reporters=(Reporter.SOURCE,))
        assert not isinstance(verdict(state, LIMITS, ()), Fail), seed


def test_requests_that_reached_no_pod_never_help_to_pass() -> None:
    rows = [(counts(95), counts(100))] * 40
    assert isinstance(verdict(fed(started(), *rows, weight=50), LIMITS, ()), Pass)
    assert not isinstance(verdict(fed(started(), *rows, lost=3.0, weight=50), LIMITS, ()), Pass)


def test_a_failure_that_stable_shares_is_told_apart() -> None:
    alike = fed(started(), *[(counts(50, 4), counts(950, 50))] * 12)
    assert failed(alike).shared
    worse = fed(started(), *[(counts(50, 25), counts(950, 50))] * 3)
    assert not failed(worse).shared


def test_a_cold_cache_is_forgiven_for_the_warmup_but_errors_are_not() -> None:
    limits = replace(LIMITS, warmup=30.0)
    slow = [(counts(100, 0, 60), counts(1900))] * 6
    state = fed(started(limits), *slow, limits=limits)
    assert not isinstance(verdict(state, limits, ()), Fail)
    assert isinstance(verdict(fed(state, *slow, limits=limits), limits, ()), Fail)
    assert isinstance(verdict(fed(started(limits), *[(counts(100, 60), counts(1900))] * 2, limits=limits), limits, ()), Fail)


def test_another_latency_threshold_starts_the_proof_of_latency_anew() -> None:
    state = fed(started(), *[(counts(100), counts(1900))] * 10)
    other = replace(LIMITS, latency=0.25)
    changed = fed(state, (counts(100), counts(1900)), limits=other)
    assert (changed.source.passing.total, changed.source.passing.timed) == (1100, 100)


@pytest.mark.parametrize("reporter", list(Reporter))
@pytest.mark.parametrize("weight", [5, 100])
def test_a_reporter_that_falls_silent_forbids_a_pass_at_any_weight(reporter: Reporter, weight: int) -> None:
    limits = replace(LIMITS, reported=frozenset(Reporter), last=weight == 100)
    other = tuple(r for r in Reporter if r is not reporter)
    found = verdict(fed(started(), *[(counts(500), counts(500))] * 5, reporters=other, limits=limits, weight=weight), limits, ())
    assert isinstance(found, Wait)
    assert found.reason == "ReporterSilent"


def test_an_outage_in_the_hour_before_takes_no_teeth_from_the_rollback() -> None:
    worst = Bursts.of(ReporterBaseline(requests=1e6, errors=1e5, error_burst=3500.0))
    limits = replace(LIMITS, source=worst, destination=worst)
    broken = [(counts(125, 62), counts(2375))]
    assert isinstance(verdict(fed(started(), *broken * 2, limits=limits), limits, ()), Fail)


def test_a_breach_in_a_backlog_counts_as_one_found_at_once() -> None:
    rows = [(counts(100, 20), counts(1900))] * 2 + [(counts(1000), counts(1900))] * 60
    start, pieces = started(), []
    for index, (canary, stable) in enumerate(rows):
        pieces += [Slice(index * 5.0, index * 5.0 + 5.0, reporter, canary, stable) for reporter in Reporter]
    state = observe(start, Poll(5.0 * len(rows), tuple(pieces)), LIMITS, counts_for_pass_from=0.0)
    assert isinstance(verdict(state, LIMITS, ()), Fail)
    assert state.cursor == 10.0


def test_a_break_is_no_new_try_for_the_same_step() -> None:
    state = fed(started(), *[(counts(100, 1), counts(1900))] * 3)
    again = resume_step(state)
    assert again.source.passing == state.source.passing
    assert again.cash < state.cash


def test_whatever_is_counted_can_be_stored_and_read_back() -> None:
    limits = replace(LIMITS, custom=(RATIO,))
    huge = CustomSlice(RATIO.name, 0, 0, bad=2.0**53, total=2.0**53)
    state = fed(
        started(limits), *[(counts(2.0**53, 2.0**53, 2.0**53), counts(2.0**53, 1))] * 4, limits=limits, custom=(huge,), lost=2.0**53
    )
    assert EvidenceState.model_validate(state.model_dump(mode="json", by_alias=True)) == state


def test_very_many_requests_still_bring_more_evidence() -> None:
    limits = replace(LIMITS, max_error_rate=0.2, last=True)
    state = begin_step(fed(started(limits), (counts(2e8), counts(2e8)), limits=limits))
    assert isinstance(verdict(fed(state, (counts(2e6), counts(2e6)), limits=limits), limits, ()), Pass)


RATIO = CustomMetricQuery(name="orders-failed", bad="b", total="t", max_rate=0.02)
VALUE = CustomMetricQuery(name="queue", value="q", maximum=100.0)


def test_a_custom_ratio_fails_by_its_own_limit_and_says_so() -> None:
    limits = replace(LIMITS, custom=(RATIO,))
    seen = CustomSlice(RATIO.name, 0, 0, bad=20.0, total=50.0)
    state = fed(
        begin_step(fed(started(limits), (counts(50), counts(950)), limits=limits)),
        *[(counts(50), counts(950))] * 3,
        limits=limits,
        custom=(seen,),
    )
    found = failed(state, limits)
    assert found.metric == "custom/orders-failed"
    assert "60 of 150 orders-failed were bad (40 %), limit 2 %" in found.explanation


@pytest.mark.parametrize("names", ["abcdefgh", "hgfedcba"])
def test_of_custom_ratios_that_say_the_same_the_first_is_named(names: str) -> None:
    """Not the one that comes first in a set, which differs from process to process."""
    queries = tuple(replace(RATIO, name=name) for name in names)
    limits = replace(LIMITS, custom=queries)
    seen = tuple(CustomSlice(name, 0, 0, bad=20.0, total=20.0) for name in names)
    begun = begin_step(fed(started(limits), (counts(50), counts(950)), limits=limits))
    state = fed(begun, *[(counts(50), counts(950))] * 3, limits=limits, custom=seen)
    assert failed(state, limits).metric == f"custom/{names[0]}"


def test_a_custom_ratio_that_cannot_be_looked_up_any_more_is_told_without_a_limit() -> None:
    known, unknown = replace(LIMITS, custom=(RATIO,)), replace(LIMITS, custom_unknown=frozenset({RATIO.name}))
    state = started(known)
    for bad in (0.0,) * 3 + (1.0,) * 13:
        state = fed(state, (counts(5), counts(95)), limits=known, custom=(CustomSlice(RATIO.name, 0, 0, bad=bad, total=10.0),))
    assert isinstance(verdict(state, known, ()), Wait)
    while not isinstance(verdict(state, unknown, ()), Fail):
        state = fed(state, (counts(10, 1), counts(95)), limits=unknown)
    assert failed(state, unknown).explanation.startswith("13 of 160 orders-failed were bad (8.12 %); evidence 1")


def test_a_custom_metric_without_data_forbids_a_pass() -> None:
    healthy = [(counts(500), counts(9500))] * 4
    for query in (RATIO, VALUE):
        limits = replace(LIMITS, custom=(query,))
        found = verdict(fed(started(limits), *healthy, limits=limits), limits, ())
        assert isinstance(found, Wait)
        assert found.reason == "CustomMetric"
        assert query.name in found.message


def valued(state: EvidenceState, *values: float | None, limits: Limits) -> EvidenceState:
    """With healthy slices of 5 s that show these values (None: no value)."""
    for value in values:
        own = () if value is None else (CustomSlice(VALUE.name, 0, 0, value=value),)
        state = fed(state, (counts(500), counts(9500)), limits=limits, custom=own)
    return state


VALUED = replace(LIMITS, custom=(VALUE,), scrape_interval=5.0)


def test_a_custom_value_passes_inside_its_bounds_and_fails_outside_them_three_times_in_a_row() -> None:
    state = valued(started(VALUED), 40.0, 40.0, 40.0, limits=VALUED)
    assert isinstance(verdict(state, VALUED, ()), Pass)
    state = valued(state, 140.0, 140.0, limits=VALUED)
    assert isinstance(verdict(state, VALUED, ()), Wait)
    found = failed(valued(state, 140.0, limits=VALUED), VALUED)
    assert found.explanation == "queue is 140, must be at most 100 (3 times in a row)"


def test_one_scrape_of_a_value_counts_once_however_many_slices_show_it() -> None:
    slow = replace(VALUED, scrape_interval=15.0)
    state = valued(started(slow), 140.0, 140.0, 140.0, limits=slow)
    assert state.custom[0].outside == 1
    assert isinstance(verdict(state, slow, ()), Wait)


def test_a_gap_in_a_value_ends_the_row() -> None:
    state = valued(started(VALUED), 140.0, None, None, 140.0, None, None, 140.0, limits=VALUED)
    assert state.custom[0].outside == 1


def test_a_value_out_of_bounds_in_a_backlog_counts_as_one_found_at_once() -> None:
    values = [140.0] * 3 + [40.0] * 20
    spans = [(5.0 * index, 5.0 * index + 5.0) for index in range(len(values))]
    pieces = tuple(Slice(*span, reporter, counts(500), counts(9500)) for span in spans for reporter in Reporter)
    own = tuple(CustomSlice(VALUE.name, *span, value=value) for span, value in zip(spans, values, strict=True))
    state = observe(started(VALUED), Poll(spans[-1][1], pieces, custom=own), VALUED, counts_for_pass_from=0.0)
    assert failed(state, VALUED).explanation == "queue is 140, must be at most 100 (3 times in a row)"
    assert state.cursor == 15.0


def test_values_before_the_first_weight_are_nobodys() -> None:
    before = observe(EvidenceState(), Poll(time=0), VALUED, counts_for_pass_from=None)
    assert valued(before, *[140.0] * 5, limits=VALUED).custom[0].outside == 0


def test_a_metric_with_another_query_begins_anew_and_one_that_cannot_be_looked_up_is_kept() -> None:
    limits = replace(LIMITS, custom=(RATIO,))
    seen = (CustomSlice(RATIO.name, 0, 0, bad=1.0, total=5000.0),)
    state = fed(started(limits), (counts(500), counts(9500)), limits=limits, custom=seen)
    unknown = fed(state, (counts(500), counts(9500)), limits=replace(LIMITS, custom_unknown=frozenset({RATIO.name})))
    assert (unknown.custom[0].total, unknown.custom[0].digest) == (5000.0, state.custom[0].digest)
    other = replace(LIMITS, custom=(replace(RATIO, bad="other"),))
    assert fed(state, (counts(500), counts(9500)), limits=other).custom[0].total == 0.0


def test_a_metric_that_cannot_be_looked_up_keeps_no_other_from_failing() -> None:
    both = replace(VALUED, custom=(RATIO, VALUE))
    seen = (CustomSlice(RATIO.name, 0, 0, bad=1.0, total=5000.0),)
    state = fed(started(both), (counts(500), counts(9500)), limits=both, custom=seen)
    unknown = replace(VALUED, custom_unknown=frozenset({RATIO.name}))
    state = valued(state, 140.0, 140.0, 140.0, limits=unknown)
    assert failed(state, unknown).metric == "custom/queue"
    assert {metric.name: metric.total for metric in state.custom} == {RATIO.name: 5000.0, VALUE.name: 0.0}


def test_the_evidence_does_not_jump_when_custom_metrics_come_and_go() -> None:
    many = replace(LIMITS, custom=tuple(replace(RATIO, name=f"m{index}") for index in range(8)))
    known = observe(EvidenceState(), Poll(time=0), many, counts_for_pass_from=None)
    state = fed(begin_step(known), (counts(20, 4), counts(380)), limits=many)
    without = fed(state, (counts(0), counts(0)))
    assert evidence_against(without, LIMITS) <= evidence_against(state, many) + 0.01


def test_the_evidence_by_test_adds_up_with_the_cash() -> None:
    state = fed(started(), (counts(20, 3), counts(380)))
    named = dict(against(state, LIMITS))
    total = named.pop("total")
    assert total == pytest.approx(state.cash + sum(named.values())) == pytest.approx(evidence_against(state, LIMITS))


def test_a_step_may_have_limits_of_its_own() -> None:
    spec = CanaryRolloutSpec.model_validate(
        {
            "service": "reviews",
            "version": "v2",
            "steps": [{"weight": 5, "minDuration": "40s", "analysis": {"maxErrorRate": "3%", "confidence": "90%"}}, {"weight": 100}],
        }
    )
    first, last = limits_of(spec, 5), limits_of(spec, 100)
    assert (first.max_error_rate, round(first.beta, 9), first.last) == (0.03, 0.1, False)
    assert (last.max_error_rate, round(last.beta, 9), last.last) == (0.01, 0.05, True)
    assert limits_of(spec, 5, Baseline(seconds=3600, unattributed=36)).unattributed_rate == 0.01
