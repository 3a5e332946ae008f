"""Slices on a grid: none is lost, doubled or moved by polls that fail, come late or come twice."""

import itertools

import pytest
from canaryrollout.core.slicing import MOST_SLICES, next_poll, stretches
from canaryrollout.core.snapshot import Poll, PollFailure, Problem
from hypothesis import given
from hypothesis import strategies as st

START = 1_700_000_000_123
GAPS = st.integers(0, 400_000)
BOUNDARIES = st.none() | st.integers(-20_000, 400_000)


def ends_of(cursor: int, visible: int, length: int, boundary: int | None) -> list[int]:
    return [end for ends in stretches(cursor, visible, length, boundary) for end in ends]


@given(gap=GAPS, length=st.integers(100, 60_000), boundary=BOUNDARIES)
def test_slices_are_complete_and_leave_no_gap(gap: int, length: int, boundary: int | None) -> None:
    visible = START + gap
    edge = None if boundary is None else START + boundary
    found = stretches(START, visible, length, edge)
    reached = START
    for ends in found:
        for end in ends:
            assert end - reached == ends.step <= length
            reached = end
    assert reached <= visible
    assert reached + length > visible or len(ends_of(START, visible, length, edge)) >= MOST_SLICES


@given(gap=GAPS, boundary=st.integers(1, 200_000))
def test_a_slice_ends_at_the_boundary(gap: int, boundary: int) -> None:
    ends = ends_of(START, START + boundary + gap, 5000, START + boundary)
    assert START + boundary in ends
    after = [end for end in ends if end >= START + boundary]
    assert all(later - earlier == 5000 for earlier, later in itertools.pairwise(after))


@given(looks=st.lists(st.tuples(GAPS, st.booleans()), min_size=1, max_size=40), boundary=st.none() | st.integers(1, 3_000_000))
def test_polls_that_fail_come_late_or_twice_change_no_slice(looks: list[tuple[int, bool]], boundary: int | None) -> None:
    """However one polls, the slices are the first ones of those that a poll each five seconds brings."""
    edge = None if boundary is None else START + boundary
    cursor, found, now = START, [], START
    for wait, succeeds in looks:
        now += wait
        ends = ends_of(cursor, now, 5000, edge)
        if succeeds and ends:
            found += ends
            cursor = ends[-1]
    steady = [START]
    while len(steady) <= len(found):
        steady += ends_of(steady[-1], steady[-1] + 5000, 5000, edge)
    assert found == steady[1 : len(found) + 1]


def test_the_next_poll_comes_just_after_the_slice_under_way() -> None:
    assert next_poll(Poll(100.0, now=102.0), None, 5.0, 0.6) == pytest.approx(3.6)
    assert next_poll(Poll(100.0, now=105.55), None, 5.0, 0.6) == pytest.approx(0.1)
    assert next_poll(Poll(100.0, now=180.0), None, 5.0, 0.6) == pytest.approx(0.1)


def test_the_cut_at_the_boundary_is_counted_with_the_slice_after_it() -> None:
    assert next_poll(Poll(100.0, now=100.6), 103.0, 10.0, 0.6) == pytest.approx(10.0)
    assert next_poll(Poll(100.0, now=102.6), 103.0, 5.0, 0.6) == pytest.approx(5.0)
    assert next_poll(Poll(100.0, now=101.0), 112.0, 5.0, 0.6) == pytest.approx(4.6)


def test_after_a_failure_the_provider_is_asked_as_often_as_usual() -> None:
    assert next_poll(PollFailure(Problem("PrometheusTimeout", "no answer")), None, 5.0, 0.6) == 5.0
