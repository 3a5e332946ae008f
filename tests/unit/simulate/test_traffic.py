"""What a provider would count of simulated traffic."""

from itertools import pairwise
from random import Random

import pytest
from canaryrollout.core.snapshot import Counts, Reporter, Slice
from canaryrollout.metrics.baseline import burst
from canaryrollout.simulate.traffic import Stream, Traffic

SLICE = 5.0


def counted(stream: Stream, until: float, start: float = 0.0) -> tuple[Slice, ...]:
    stream.run_to(until)
    return stream.slices(start, SLICE, int((until - start) // SLICE))


def total(pieces: tuple[Slice, ...], reporter: Reporter, version: str) -> Counts:
    own = [getattr(piece, version) for piece in pieces if piece.reporter is reporter]
    names = ("total", "errors", "slow", "timed", "not_fast")
    return Counts(**{name: sum(getattr(counts, name) for counts in own) for name in names})


def stream(seed: int = 1, **traffic: float) -> Stream:
    return Stream(Traffic(**traffic), Random(seed), 0.0)  # type: ignore[arg-type]


def test_both_reporters_count_every_request_once_by_the_time_all_are_scraped() -> None:
    made = stream(rps=100, canary_errors=0.1, stable_errors=0.01, canary_slow=0.05)
    made.set_weight(20)
    made.run_to(300.0)
    made.draw_all()
    expected = dict(made.served)
    made.traffic = Traffic(rps=0.0)
    made.set_weight(0)
    made._set_rates()
    pieces = counted(made, 400.0)
    for reporter in Reporter:
        for version, served in expected.items():
            found = total(pieces, reporter, version)
            assert (found.total, found.errors, found.slow) == (served.total, served.errors, served.slow)


def test_requests_follow_the_weight_and_the_rates() -> None:
    made = stream(rps=200, canary_errors=0.1, stable_errors=0.02, canary_slow=0.3, stable_slow=0.1)
    made.set_weight(25)
    pieces = counted(made, 1_000.0)
    canary, stable = (total(pieces, Reporter.SOURCE, version) for version in ("canary", "stable"))
    assert canary.total == pytest.approx(50_000, rel=0.03)
    assert stable.total == pytest.approx(150_000, rel=0.03)
    assert canary.errors / canary.total == pytest.approx(0.1, rel=0.1)
    assert stable.errors / stable.total == pytest.approx(0.02, rel=0.1)
    assert canary.slow / (canary.total - canary.errors) == pytest.approx(0.3, rel=0.05)


def test_a_slice_holds_what_was_scraped_in_it() -> None:
    made = stream(rps=100, scrape_interval=15.0, pods=1, callers=1)
    pieces = [p for p in counted(made, 150.0) if p.reporter is Reporter.DESTINATION]
    busy = [index for index, piece in enumerate(pieces) if piece.stable.total]
    assert {later - earlier for earlier, later in pairwise(busy)} == {3}
    assert all(pieces[index].stable.total == pytest.approx(1_500, rel=0.15) for index in busy[1:])
    assert [(piece.start, piece.end) for piece in pieces[:2]] == [(0.0, 5.0), (5.0, 10.0)]


def test_slices_that_are_not_due_yet_are_kept() -> None:
    made = stream(rps=100)
    made.run_to(100.0)
    early = made.slices(0.0, SLICE, 10)
    late = made.slices(50.0, SLICE, 10)
    once = counted(stream(rps=100), 100.0)
    for reporter in Reporter:
        parts = total(early, reporter, "stable").total + total(late, reporter, "stable").total
        assert parts == total(once, reporter, "stable").total


@pytest.mark.parametrize("rps", [5.0, 500.0])
def test_clumps_show_as_overdispersion_of_about_their_size(rps: float) -> None:
    made = stream(rps=rps, stable_errors=0.01, burst=10, pods=1)
    pieces = [p.stable for p in counted(made, 20_000.0) if p.reporter is Reporter.DESTINATION]
    found = sum(c.errors for c in pieces) / sum(c.total for c in pieces)
    assert found == pytest.approx(0.01, rel=0.25)
    assert burst([(counts.total, counts.errors) for counts in pieces]) == pytest.approx(9.0, rel=0.35)


def test_a_fault_from_a_weight_on_is_not_there_before() -> None:
    made = stream(rps=1_000, canary_errors=0.5, stable_errors=0.0, fault_from_weight=50)
    made.set_weight(25)
    made.run_to(100.0)
    made.draw_all()
    assert made.served["canary"].errors == 0
    assert made.fault_since is None
    made.set_weight(50)
    made.run_to(200.0)
    made.draw_all()
    assert made.served["canary"].errors > 10_000
    assert made.fault_since == 100.0


def test_a_late_fault_begins_so_long_after_the_first_request() -> None:
    made = stream(rps=100, canary_errors=1.0, fault_after=30.0)
    made.run_to(50.0)
    made.set_weight(50)
    made.run_to(79.0)
    made.draw_all()
    assert made.served["canary"].errors == 0
    made.run_to(100.0)
    assert made.fault_since == 80.0
    made.draw_all()
    assert made.served["canary"].errors == pytest.approx(1_000, rel=0.2)


def test_a_shared_fault_meets_both_versions() -> None:
    made = stream(rps=1_000, shared_errors=0.2, shared_after=10.0)
    made.set_weight(50)
    made.run_to(10.0)
    made.draw_all()
    assert {served.errors for served in made.served.values()} == {0}
    made.run_to(110.0)
    made.draw_all()
    for served in made.served.values():
        assert served.errors == pytest.approx(10_000, rel=0.1)
