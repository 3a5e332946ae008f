"""The demo in a pipe."""

from dataclasses import replace
from itertools import pairwise

from demo.lines import changes, clock
from recorded import FRAMES


def test_a_clock_shows_minutes_and_seconds() -> None:
    assert [clock(0.9), clock(83.4), clock(600)] == ["0:00", "1:23", "10:00"]


def test_nothing_is_said_while_nothing_changes() -> None:
    frame = FRAMES["collecting"]
    assert list(changes(frame, replace(frame, now=frame.now + 1.0))) == []


def test_every_event_of_a_run_is_told_once_and_in_order() -> None:
    frames = list(FRAMES.values())
    lines = [line for before, after in pairwise([None, *frames]) for line in changes(before, after)]
    told = [line.split("] ")[1] for line in lines]
    events = [f"{event.reason}: {event.note}" for event in frames[-1].events]
    assert [line for line in told if line in events] == [event.split("] ")[0] for event in events]


def test_an_activity_is_told_when_it_begins() -> None:
    frame = FRAMES["collecting"]
    assert list(changes(frame, replace(frame, activity="deploying v3"))) == ["[1:07] deploying v3"]


def test_the_end_of_a_step_tells_what_clients_saw() -> None:
    lines = list(changes(FRAMES["collecting"], FRAMES["shifting_to_10"]))
    assert "[1:17] clients so far: v1 11,948 requests, 0 failed; v2 599 requests, 0 failed" in lines


def test_the_end_of_a_release_tells_what_clients_saw() -> None:
    lines = list(changes(FRAMES["v4_rolling_back"], FRAMES["end"]))
    assert "[3:19] clients so far: v2 6,167 requests, 0 failed, 738 slow; v4 156 requests, 0 failed, 156 slow" in lines
