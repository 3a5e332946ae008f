"""Limits that are edited in mid-rollout: the canary is judged by those that are in force."""

import math
from dataclasses import replace

import pytest
from canaryrollout.api.evidence import EvidenceState
from canaryrollout.core.evidence import observe
from canaryrollout.core.limits import Limits
from canaryrollout.core.snapshot import Counts, CustomMetricQuery, Poll
from canaryrollout.core.verdict import Fail, evidence_against, verdict
from counting import LIMITS, counts, fed, started
from hypothesis import given, settings
from hypothesis import strategies as st

LOOSER = {
    "max_error_rate": replace(LIMITS, max_error_rate=0.05),
    "latency": replace(LIMITS, latency=1.0),
    "max_increase": replace(LIMITS, max_increase=20.0),
}
Row = tuple[Counts, Counts]


def nearly_failed(row: Row, limits: Limits = LIMITS) -> EvidenceState:
    """As much of that as the limits can bear: with the next slice the canary fails."""
    state = started(limits)
    while not isinstance(verdict(ahead := fed(state, row, limits=limits), limits, ()), Fail):
        state = ahead
    return state


@pytest.mark.parametrize(
    ("limit", "row"),
    [
        ("max_error_rate", (counts(100, 3), counts(1900, 57))),
        ("latency", (counts(100, 0, 3), counts(1900, 0, 57))),
        ("max_increase", (counts(200, 1), counts(3800, 1))),
    ],
)
def test_what_spoke_against_a_stricter_limit_does_not_fail_a_canary_that_keeps_the_looser_one(limit: str, row: Row) -> None:
    state = nearly_failed(row)
    assert evidence_against(state, LIMITS) > 10.0
    looser = LOOSER[limit]
    after = observe(state, Poll(state.cursor or 0.0), looser, counts_for_pass_from=0.0)
    assert evidence_against(after, looser) <= 1.0 + 1e-9


def test_without_the_edit_the_same_requests_fail_it() -> None:
    row = (counts(100, 3), counts(1900, 57))
    assert isinstance(verdict(fed(nearly_failed(row), *[row] * 5), LIMITS, ()), Fail)


@pytest.mark.parametrize("limit", list(LOOSER))
def test_a_canary_that_breaks_the_looser_limit_too_still_fails(limit: str) -> None:
    looser = LOOSER[limit]
    row = (counts(40, 0, 20), counts(760)) if limit == "latency" else (counts(40, 20), counts(760))
    assert isinstance(verdict(fed(started(), row, *[row] * 10, limits=looser), looser, ()), Fail)
    state = fed(fed(started(), (counts(40, 1, 1), counts(760, 1, 1))), *[row] * 10, limits=looser)
    assert isinstance(verdict(state, looser, ()), Fail)


def test_what_spoke_against_a_looser_limit_speaks_against_a_stricter_one() -> None:
    looser = replace(LIMITS, max_error_rate=0.05)
    state = nearly_failed((counts(40, 6), counts(760, 1)), looser)
    after = observe(state, Poll(state.cursor or 0.0), LIMITS, counts_for_pass_from=0.0)
    assert evidence_against(after, LIMITS) == evidence_against(state, looser)


def test_a_limit_that_an_older_operator_did_not_write_down_has_not_changed() -> None:
    state = nearly_failed((counts(40, 1), counts(760, 1)))
    old = state.model_copy(update={"max_error_rate": None, "max_increase": None})
    after = observe(old, Poll(state.cursor or 0.0), LOOSER["max_error_rate"], counts_for_pass_from=0.0)
    assert after.source.errors == state.source.errors
    assert after.max_error_rate == 0.05


@pytest.mark.parametrize("ratios", [0, 1, 8])
def test_after_an_edit_no_more_than_the_whole_stake_is_left_to_luck(ratios: int) -> None:
    """Custom ratios have got their part of it, too."""
    custom = tuple(CustomMetricQuery(name=f"orders-{number}", bad="b", total="t", max_rate=0.01) for number in range(ratios))
    limits = replace(LIMITS, custom=custom)
    state = nearly_failed((counts(100, 10, 10), counts(1900)), limits)
    looser = replace(limits, max_error_rate=0.2, latency=2.0, max_increase=math.inf)
    bounded = observe(state, Poll(state.cursor or 0.0), looser, counts_for_pass_from=0.0)
    assert evidence_against(bounded, replace(looser, max_increase=1e6, relative_floor=0.0)) <= 1.0


def test_a_failure_after_an_edit_is_told_by_what_was_counted_since() -> None:
    """What was trouble under the stricter limit would thin out what breaks the looser one."""
    stricter, looser = replace(LIMITS, max_increase=math.inf), replace(LIMITS, max_error_rate=0.05, max_increase=math.inf)
    state = fed(started(stricter), *[(counts(1000, 30), counts(1000))] * 20, limits=stricter)
    found = None
    while not isinstance(found, Fail):
        state = fed(state, (counts(100, 12), counts(1900)), limits=looser)
        found = verdict(state, looser, ())
    assert found.numbers is not None
    assert found.numbers.rate == pytest.approx(0.12)


LIMIT = st.builds(
    lambda rate, latency, increase: replace(LIMITS, max_error_rate=rate, latency=latency, max_increase=increase),
    st.sampled_from((0.0, 0.01, 0.05, 1.0)),
    st.sampled_from((0.25, 0.5, 1.0)),
    st.sampled_from((1.5, 2.0, 10.0, math.inf)),
)


@settings(max_examples=50)
@given(st.lists(st.tuples(LIMIT, st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=8))
def test_edits_alone_never_raise_the_evidence_of_a_test(edits: list[tuple[Limits, int, int]]) -> None:
    state = started()
    for limits, errors, slow in edits:
        edited = observe(state, Poll(state.cursor or 0.0), limits, counts_for_pass_from=0.0)
        for before, after in ((state.source, edited.source), (state.destination, edited.destination)):
            for test in ("errors", "errors_relative", "catastrophe", "slow", "slow_relative"):
                assert all(new <= old for old, new in zip(getattr(before, test), getattr(after, test), strict=True))
        state = fed(edited, (counts(40, errors, slow), counts(760, 2, 2)), limits=limits)
