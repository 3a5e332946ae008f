"""The API server's clock from Date headers."""

from email.utils import formatdate

import pytest
from canaryrollout.kube.clock import ServerClock
from hypothesis import given
from hypothesis import strategies as st


class Machine:
    """A local monotonic clock, and a server whose clock is ahead of it by `offset`."""

    def __init__(self, offset: float) -> None:
        self.monotonic = 50.0
        self.offset = offset
        self.clock = ServerClock(lambda: self.monotonic)

    @property
    def truth(self) -> float:
        return self.monotonic + self.offset

    def exchange(self, before: float, after: float) -> None:
        """A request that takes `before` seconds to the server and `after` back."""
        sent = self.monotonic
        self.monotonic += before
        date = formatdate(int(self.truth), usegmt=True)
        self.monotonic += after
        self.clock.observe(date, sent)


def test_before_the_first_answer_there_is_no_time() -> None:
    with pytest.raises(LookupError):
        Machine(1e9).clock.now()


@given(st.floats(1e9, 2e9), st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 3)), min_size=1, max_size=20))
def test_the_estimate_is_never_ahead_and_never_goes_back(offset: float, exchanges: list[tuple[float, float, float]]) -> None:
    machine = Machine(offset)
    latest = 0.0
    for before, after, pause in exchanges:
        machine.exchange(before, after)
        assert machine.truth - 2.0 <= machine.clock.now() <= machine.truth + 1e-3
        assert machine.clock.now() >= latest
        latest = machine.clock.now()
        machine.monotonic += pause


def test_several_answers_find_the_fraction_of_a_second() -> None:
    machine = Machine(1_700_000_000.637)
    for _ in range(40):
        machine.exchange(0.001, 0.001)
        machine.monotonic += 0.037
    assert machine.truth - machine.clock.now() < 0.05


def test_a_server_whose_clock_was_set_back_makes_time_stand_still() -> None:
    machine = Machine(1_700_000_000.0)
    machine.exchange(0.001, 0.001)
    shown = machine.clock.now()
    machine.offset -= 10.0
    machine.monotonic += 1.0
    machine.exchange(0.001, 0.001)
    assert machine.clock.now() == shown
    machine.monotonic += 10.0
    assert machine.clock.now() > shown


def test_an_unreadable_date_is_ignored() -> None:
    machine = Machine(1_700_000_000.0)
    machine.clock.observe("yesterday", machine.monotonic)
    with pytest.raises(LookupError):
        machine.clock.now()
