"""Verdicts from polls: what fails, what passes, what waits, and what must change nothing."""

import json
import math
from dataclasses import replace

import pytest
from canaryrollout.core.evidence import EvidenceState, begin_step, observe
from canaryrollout.core.limits import Limits
from canaryrollout.core.snapshot import Counts, Poll, Problem, Reporter, Slice
from canaryrollout.core.verdict import Fail, Pass, Wait, evidence_against, verdict
from hypothesis import given, settings
from hypothesis import strategies as st

LIMITS = Limits(max_error_rate=0.01, latency=0.5, min_requests=100, max_increase=2.0)
STABLE = Counts(total=1000, errors=1, slow=1, timed=1000)


def counts(total: float, errors: float = 0, slow: float = 0) -> Counts:
    return Counts(total=total, errors=errors, slow=slow, timed=total, not_fast=slow)


def started() -> EvidenceState:
    """The first step has begun at Prometheus time 0."""
    return begin_step(observe(EvidenceState(), Poll(time=0), LIMITS, counts_for_pass_from=None))


def piece(start: float, canary: Counts, reporter: Reporter = Reporter.DESTINATION, unattributed: float = 0) -> Slice:
    return Slice(start, start + 5, reporter, canary, STABLE, unattributed)


def poll(*pieces: Slice, time: float = 0) -> Poll:
    return Poll(time=max([time, *(p.end for p in pieces)]), slices=pieces)


def after(*canary: Counts, reporter: Reporter = Reporter.DESTINATION, limits: Limits = LIMITS) -> EvidenceState:
    state = started()
    for index, count in enumerate(canary):
        state = observe(state, poll(piece(5.0 * index, count, reporter)), limits, counts_for_pass_from=0)
    return state


def test_a_canary_without_faults_passes_at_380_requests_and_not_before() -> None:
    assert isinstance(verdict(after(counts(379)), LIMITS, ()), Wait)
    assert isinstance(verdict(after(counts(380)), LIMITS, ()), Pass)


def test_fewer_requests_than_the_minimum_never_pass() -> None:
    limits = replace(LIMITS, min_requests=500)
    result = verdict(after(counts(499)), limits, ())
    assert result == Wait("NotEnoughRequests", "499 of at least 500 canary requests since the weights were proved")


def test_a_canary_that_fails_half_its_requests_is_caught_after_a_handful() -> None:
    result = verdict(after(counts(12, 6), counts(12, 6)), LIMITS, ())
    assert isinstance(result, Fail)
    assert result.metric == "errors"


def test_a_canary_that_fails_everything_is_caught_in_one_slice() -> None:
    result = verdict(after(counts(20, 20)), LIMITS, ())
    assert isinstance(result, Fail)


def test_one_error_in_twelve_requests_waits() -> None:
    assert isinstance(verdict(after(counts(12, 1)), LIMITS, ()), Wait)


def test_slow_requests_fail_as_latency() -> None:
    result = verdict(after(*[counts(20, 0, 4)] * 3), LIMITS, ())
    assert isinstance(result, Fail)
    assert result.metric == "latency"
    assert "12 of 60 canary requests took longer than 500ms (20 %), limit 1 %, stable 0.1 %; evidence" in result.explanation


def test_errors_seen_by_the_callers_alone_fail() -> None:
    state = after()
    for index in range(3):
        pieces = (piece(5.0 * index, counts(20, 4), Reporter.SOURCE), piece(5.0 * index, counts(20)))
        state = observe(state, poll(*pieces), LIMITS, counts_for_pass_from=0)
    result = verdict(state, LIMITS, ())
    assert isinstance(result, Fail)
    assert result.numbers is not None
    assert result.numbers.reporter is Reporter.SOURCE


def test_failures_count_before_the_step_is_proved_but_passing_evidence_does_not() -> None:
    start = after()
    healthy = observe(start, poll(piece(0, counts(5000))), LIMITS, counts_for_pass_from=None)
    assert verdict(healthy, LIMITS, ()) == Wait("NotEnoughRequests", "0 of at least 100 canary requests since the weights were proved")
    straddling = observe(start, poll(piece(0, counts(5000))), LIMITS, counts_for_pass_from=2)
    assert isinstance(verdict(straddling, LIMITS, ()), Wait)
    broken = observe(start, poll(piece(0, counts(50, 40))), LIMITS, counts_for_pass_from=None)
    assert isinstance(verdict(broken, LIMITS, ()), Fail)


def test_a_new_step_needs_its_own_evidence_and_keeps_the_failures() -> None:
    state = after(counts(300), counts(300))
    assert isinstance(verdict(state, LIMITS, ()), Pass)
    assert isinstance(verdict(begin_step(state), LIMITS, ()), Wait)
    doubtful = after(counts(20, 2))
    assert min(begin_step(doubtful).destination.errors) >= min(doubtful.destination.errors)
    failed = after(counts(30, 20), counts(30, 20))
    assert isinstance(verdict(begin_step(failed), LIMITS, ()), Fail)


def test_problems_forbid_a_pass_but_not_a_failure() -> None:
    problem = Problem("Stale", "the newest sample of reviews-v2 is 80 s old")
    assert verdict(after(counts(2000)), LIMITS, (problem,)) == Wait("Stale", problem.message)
    assert isinstance(verdict(after(counts(30, 20), counts(30, 20)), LIMITS, (problem,)), Fail)


def test_silence_of_the_canary_beside_a_busy_stable_is_named() -> None:
    result = verdict(after(counts(0)), LIMITS, ())
    assert isinstance(result, Wait)
    assert result.reason == "NoCanaryTraffic"


def test_no_requests_at_all_wait() -> None:
    result = verdict(after(), LIMITS, ())
    assert isinstance(result, Wait)
    assert result.reason == "NoTraffic"


def test_requests_without_durations_never_pass() -> None:
    result = verdict(after(Counts(total=5000)), LIMITS, ())
    assert isinstance(result, Wait)
    assert result.reason == "LatencyNotMeasured"


def test_every_reporter_that_saw_the_canary_must_agree_to_a_pass() -> None:
    state = observe(after(counts(1000)), poll(piece(5, counts(50), Reporter.SOURCE)), LIMITS, counts_for_pass_from=0)
    assert isinstance(verdict(state, LIMITS, ()), Wait)


def test_one_reporter_alone_may_pass() -> None:
    assert isinstance(verdict(after(counts(1000), reporter=Reporter.SOURCE), LIMITS, ()), Pass)


def test_waiting_tells_how_many_more_requests_are_needed() -> None:
    result = verdict(after(counts(200)), LIMITS, ())
    assert isinstance(result, Wait)
    assert result.reason == "CollectingEvidence"
    assert result.message.startswith("0 of 200 canary requests failed (0 %, limit 1 %)")
    assert "more are needed at this rate" in result.message


def test_waiting_near_the_limit_says_so() -> None:
    result = verdict(after(*[counts(500, 5)] * 4), LIMITS, ())
    assert isinstance(result, Wait)
    assert "too near the limit" in result.message


def test_the_evidence_that_is_told_of_a_pass_is_never_below_its_line() -> None:
    sure = replace(LIMITS, beta=1e-8)
    result = verdict(after(counts(5000), limits=sure), sure, ())
    assert isinstance(result, Pass)
    assert result.explanation.endswith("evidence over 100,000,000 and over 100,000,000 of 100,000,000")


def test_a_passing_verdict_carries_its_numbers() -> None:
    result = verdict(after(counts(1000, 1)), LIMITS, ())
    assert isinstance(result, Pass)
    assert "1 of 1,000 canary requests failed (0.1 %, limit 1 %)" in result.explanation
    assert {(n.metric, n.reporter) for n in result.numbers} == {("errors", Reporter.DESTINATION), ("latency", Reporter.DESTINATION)}


def test_a_slice_that_straddles_the_cursor_changes_nothing() -> None:
    state = after(counts(20, 1))
    straddling = Poll(time=8, slices=(Slice(3, 8, Reporter.DESTINATION, counts(9, 9), STABLE),))
    assert observe(state, straddling, LIMITS, counts_for_pass_from=0) == state


def test_an_empty_poll_moves_the_cursor_and_learns_nothing_but_the_limits() -> None:
    state = observe(EvidenceState(), Poll(time=77.5), LIMITS, counts_for_pass_from=None)
    assert state == EvidenceState(cursor=77.5, latency=0.5, max_error_rate=0.01, max_increase=2.0)


def test_a_poll_from_the_past_never_moves_the_cursor_back() -> None:
    assert observe(after(counts(3)), Poll(time=1), LIMITS, counts_for_pass_from=0).cursor == 5


@pytest.mark.parametrize("rate", [0.0, 0.95, 1.0])
def test_extreme_limits_stay_finite(rate: float) -> None:
    limits = replace(LIMITS, max_error_rate=rate, max_increase=math.inf)
    state = after(*[counts(50, 25)] * 4, limits=limits)
    assert isinstance(verdict(state, limits, ()), Fail if rate == 0.0 else Wait)
    assert all(math.isfinite(log) for log in state.destination.errors)


def test_the_state_stays_near_a_kilobyte_and_is_read_back_equal() -> None:
    state = after()
    for index in range(500):
        pieces = (piece(5.0 * index, counts(4321, 7, 9), Reporter.SOURCE, 1), piece(5.0 * index, counts(4321, 7, 9)))
        state = observe(state, poll(*pieces), LIMITS, counts_for_pass_from=0)
    text = state.model_dump_json(by_alias=True)
    assert len(text) < 1500
    assert EvidenceState.model_validate_json(text) == state
    assert EvidenceState.model_validate(json.loads(text)) == state


requests = st.integers(0, 300).flatmap(
    lambda total: st.tuples(st.just(total), st.integers(0, total), st.integers(0, total)).map(lambda t: counts(*t))
)
history = st.lists(st.tuples(requests, requests, st.integers(0, 3)), min_size=1, max_size=8)


def polls(rows: list[tuple[Counts, Counts, int]], order: tuple[Reporter, Reporter]) -> list[Poll]:
    result = []
    for index, (source, destination, lost) in enumerate(rows):
        seen = {Reporter.SOURCE: piece(5.0 * index, source, Reporter.SOURCE, lost), Reporter.DESTINATION: piece(5.0 * index, destination)}
        result.append(poll(*(seen[reporter] for reporter in order)))
    return result


def fold(sequence: list[Poll]) -> EvidenceState:
    state = started()
    for each in sequence:
        state = observe(state, each, LIMITS, counts_for_pass_from=5)
    return state


@given(rows=history, replays=st.lists(st.integers(0, 7), max_size=8))
@settings(max_examples=150)
def test_replayed_polls_change_nothing(rows: list[tuple[Counts, Counts, int]], replays: list[int]) -> None:
    once = polls(rows, (Reporter.SOURCE, Reporter.DESTINATION))
    repeated = []
    for index, each in enumerate(once):
        repeated += [each, *(once[replay] for replay in replays if replay <= index)]
    assert fold(repeated) == fold(once)


@given(rows=history)
@settings(max_examples=150)
def test_the_order_of_reporters_does_not_matter(rows: list[tuple[Counts, Counts, int]]) -> None:
    forth = fold(polls(rows, (Reporter.SOURCE, Reporter.DESTINATION)))
    assert forth == fold(polls(rows, (Reporter.DESTINATION, Reporter.SOURCE)))


@given(rows=history, cut=st.integers(0, 7))
@settings(max_examples=150)
def test_a_restart_changes_nothing(rows: list[tuple[Counts, Counts, int]], cut: int) -> None:
    sequence = polls(rows, (Reporter.SOURCE, Reporter.DESTINATION))
    state = EvidenceState.model_validate_json(fold(sequence[:cut]).model_dump_json(by_alias=True))
    for each in sequence[cut:]:
        state = observe(state, each, LIMITS, counts_for_pass_from=5)
    assert state == fold(sequence)


@given(empty=st.integers(0, 20))
def test_no_data_never_passes(empty: int) -> None:
    nothing = polls([(Counts(), Counts(), 0)] * empty, (Reporter.SOURCE, Reporter.DESTINATION))
    assert isinstance(verdict(fold(nothing), LIMITS, ()), Wait)


@given(rows=history, which=st.integers(0, 7), extra=st.integers(1, 50), latency=st.booleans())
@settings(max_examples=300)
def test_more_faults_never_turn_a_failure_into_a_pass(
    rows: list[tuple[Counts, Counts, int]], which: int, extra: int, latency: bool
) -> None:
    before = verdict(fold(polls(rows, (Reporter.SOURCE, Reporter.DESTINATION))), LIMITS, ())
    source, destination, lost = rows[which % len(rows)]
    if latency:
        worse = replace(destination, slow=min(destination.slow + extra, destination.timed))
    else:
        worse = replace(destination, errors=min(destination.errors + extra, destination.total))
    changed = [*rows]
    changed[which % len(rows)] = (source, worse, lost)
    now = verdict(fold(polls(changed, (Reporter.SOURCE, Reporter.DESTINATION))), LIMITS, ())
    assert not (isinstance(before, Fail) and not isinstance(now, Fail))
    assert not (isinstance(now, Pass) and not isinstance(before, Pass))


def test_two_slices_of_one_time_say_as_much_as_one_after_the_other() -> None:
    """Providers bring one slice of a reporter for each time; were there two, neither may be forgotten."""
    begun, first, second = started(), counts(40, errors=2), counts(20, errors=2)

    def told(*polls: Poll) -> EvidenceState:
        state = begun
        for each in polls:
            state = observe(state, each, LIMITS, counts_for_pass_from=0)
        return state

    together, apart = told(poll(piece(0, first), piece(0, second))), told(poll(piece(0, first)), poll(piece(5, second)))
    assert together.destination.canary == apart.destination.canary
    assert evidence_against(together, LIMITS) == pytest.approx(evidence_against(apart, LIMITS), rel=0.02)
    assert evidence_against(together, LIMITS) > 2.0 * max(evidence_against(told(poll(piece(0, one))), LIMITS) for one in (first, second))


def test_two_slices_of_one_time_say_the_same_in_either_order() -> None:
    """A product that the first would leave nothing of is not given up before the second has been counted."""
    good, bad = piece(0, counts(200)), piece(0, counts(2000, errors=1900))
    one, other = (observe(started(), poll(*pieces), LIMITS, counts_for_pass_from=0) for pieces in ((good, bad), (bad, good)))
    assert one.destination.catastrophe == other.destination.catastrophe
    assert one.destination.catastrophe[-1] > 0.0
