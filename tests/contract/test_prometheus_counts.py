"""What the built-in queries count on a real Prometheus: each request once, whatever happens to pods and counters."""

import asyncio
import itertools
import random
from dataclasses import replace

import pytest
from canaryrollout.core import slicing
from canaryrollout.core.snapshot import Counts, Poll, Reporter
from prometheus_bookinfo import SAMPLING, Bookinfo


async def test_the_first_poll_only_learns_prometheus_time(reviews: Bookinfo) -> None:
    result = await reviews.poll()
    assert isinstance(result, Poll)
    assert result.slices == ()
    now = reviews.server.value("vector(time())")
    assert now is not None
    assert 0 < now - result.time < 30


async def test_a_canary_that_fails_from_its_first_scrape_on_is_counted_in_full(reviews: Bookinfo) -> None:
    stable, canary = reviews.pod("v1-a"), reviews.pod("v2-a")
    reviews.answered(stable, "v1", 1000)
    reviews.server.add(stable)
    await reviews.scraped(1000)
    await reviews.poll()
    reviews.answered(canary, "v2", 40, 503)
    reviews.answered(canary, "v2", 2, 200)
    reviews.server.add(canary)
    await reviews.scraped(1042)
    await reviews.poll()
    assert (reviews.canary().total, reviews.canary().errors) == (42, 40)
    assert reviews.stable().total == 0


async def test_errors_of_an_earlier_rollout_under_the_same_name_do_not_count(reviews: Bookinfo) -> None:
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 900, 500)
    reviews.server.add(canary)
    await reviews.scraped(900)
    await reviews.poll()
    reviews.answered(canary, "v2", 20)
    reviews.answered(canary, "v2", 901, 500)
    await reviews.scraped(921)
    await reviews.poll()
    assert reviews.canary() == Counts(total=21, errors=1)


async def test_a_silent_canary_is_a_zero_beside_a_busy_stable(reviews: Bookinfo) -> None:
    stable, canary = reviews.pod("v1-a"), reviews.pod("v2-a")
    reviews.answered(stable, "v1", 100)
    reviews.answered(canary, "v2", 7)
    reviews.server.add(stable, canary)
    await reviews.scraped(107)
    await reviews.poll()
    reviews.answered(stable, "v1", 160)
    await reviews.scraped(167)
    await reviews.poll()
    assert (reviews.stable().total, reviews.canary()) == (60, Counts())
    assert reviews.slices(Reporter.DESTINATION)
    assert reviews.problems() == set()


async def test_every_request_is_counted_once_however_time_is_cut_into_slices(reviews: Bookinfo, monkeypatch: pytest.MonkeyPatch) -> None:
    stable, canary, caller = reviews.pod("v1-a"), reviews.pod("v2-a"), reviews.pod("gateway")
    reviews.answered(stable, "v1", 500)
    reviews.server.add(stable, canary, caller)
    await reviews.scraped(500)
    await reviews.poll()
    monkeypatch.setattr(reviews.server.exporter, "lag", 0.1)
    dice = random.Random(7)
    good = bad = seen = 0
    for _ in range(40):
        good, bad, seen = good + dice.randrange(9), bad + dice.randrange(3), seen + dice.randrange(9)
        reviews.answered(canary, "v2", good)
        reviews.answered(canary, "v2", bad, 500)
        reviews.answered(caller, "v2", seen, reporter="source")
        await asyncio.sleep(dice.random() * 0.15)
        await reviews.poll()
    await reviews.scraped(500 + good + bad + seen)
    for _ in range(3):
        await reviews.poll()
    assert (reviews.canary().total, reviews.canary().errors) == (good + bad, bad)
    assert (reviews.canary(Reporter.SOURCE).total, reviews.canary(Reporter.SOURCE).errors) == (seen, 0)
    edges = [edge for piece in reviews.slices(Reporter.DESTINATION) for edge in (piece.start, piece.end)]
    assert edges[1:-1:2] == edges[2::2]


async def test_a_restarted_pod_counts_from_zero_again(reviews: Bookinfo) -> None:
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 100)
    reviews.server.add(canary)
    await reviews.scraped(100)
    await reviews.poll()
    reviews.answered(canary, "v2", 7)
    await reviews.scraped(7)
    await reviews.poll()
    assert reviews.canary().total == 7
    reviews.answered(canary, "v2", 12)
    await reviews.scraped(12)
    await reviews.poll()
    assert reviews.canary().total == 12


async def test_a_pod_scraped_by_two_jobs_counts_once(reviews: Bookinfo) -> None:
    canary = replace(reviews.pod("v2-a"), jobs=("pods", "podmonitor"))
    reviews.answered(canary, "v2", 10)
    reviews.server.add(canary)
    await reviews.scraped(20)
    await reviews.poll()
    reviews.answered(canary, "v2", 25, 200)
    reviews.answered(canary, "v2", 5, 503)
    await reviews.scraped(60)
    await reviews.poll()
    assert (reviews.canary().total, reviews.canary().errors) == (20, 5)
    assert reviews.problems() == {"NoLatencyBucket"}


async def test_pods_with_otherwise_equal_labels_are_added_up(reviews: Bookinfo) -> None:
    pods = [reviews.pod(f"v2-{letter}") for letter in "abc"]
    for pod in pods:
        reviews.answered(pod, "v2", 10)
    reviews.server.add(*pods)
    await reviews.scraped(30)
    await reviews.poll()
    for pod, count in zip(pods, (11, 12, 13), strict=True):
        reviews.answered(pod, "v2", count)
    await reviews.scraped(36)
    await reviews.poll()
    assert reviews.canary().total == 6


async def test_a_deleted_pods_last_requests_count_and_nothing_turns_negative(reviews: Bookinfo) -> None:
    leaving, staying = reviews.pod("v2-a"), reviews.pod("v2-b")
    reviews.answered(leaving, "v2", 50)
    reviews.answered(staying, "v2", 60)
    reviews.server.add(leaving, staying)
    await reviews.scraped(110)
    await reviews.poll()
    reviews.answered(leaving, "v2", 53)
    await reviews.scraped(113)
    reviews.server.remove(leaving)
    await reviews.scraped(60)
    for _ in range(3):
        await reviews.poll()
    assert reviews.canary().total == 3


@pytest.mark.parametrize(("threshold", "slow", "not_fast"), [(0.5, 5, 5), (0.4, 5, 9), (0.25, 9, 9), (1000.0, 2, 20), (7200.0, 0, 1)])
async def test_slow_requests_are_those_above_the_edges_around_the_threshold(
    reviews: Bookinfo, threshold: float, slow: float, not_fast: float
) -> None:
    reviews.question = replace(reviews.question, latency_threshold=threshold)
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 100)
    edges = {"100": 0.0, "250": 0.0, "500": 0.0, "1000": 0.0, "1800000": 0.0, "3600000": 0.0, "+Inf": 0.0}
    reviews.timed(canary, "v2", edges)
    reviews.server.add(canary)
    await reviews.scraped(100)
    await reviews.poll()
    reviews.answered(canary, "v2", 120)
    reviews.timed(canary, "v2", {"100": 7, "250": 11, "500": 15, "1000": 16, "1800000": 18, "3600000": 19, "+Inf": 20})
    await reviews.scraped(120)
    await reviews.poll()
    assert (reviews.canary().timed, reviews.canary().slow, reviews.canary().not_fast) == (20, slow, not_fast)
    assert reviews.problems() == set()


async def test_grpc_failures_inside_http_200_are_errors(reviews: Bookinfo) -> None:
    canary = reviews.pod("v2-a")
    for status, count in {"0": 100, "5": 10, "13": 2, "14": 3}.items():
        reviews.answered(canary, "v2", count, 200, grpc_response_status=status)
    await reviews.poll()
    reviews.server.add(canary)
    await reviews.scraped(115)
    await reviews.poll()
    assert (reviews.canary().total, reviews.canary().errors) == (115, 5)


async def test_a_client_that_gave_up_is_a_request_but_not_an_error(reviews: Bookinfo) -> None:
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 4, 0, response_flags="DC")
    await reviews.poll()
    reviews.server.add(canary)
    await reviews.scraped(4)
    await reviews.poll()
    assert reviews.canary() == Counts(total=4, aborted=4)


async def test_errors_that_reached_no_pod_are_found_by_the_services_host(reviews: Bookinfo) -> None:
    caller, ns = reviews.pod("gateway"), reviews.namespace
    unknown = {"destination_workload": "unknown", "destination_workload_namespace": "unknown", "reporter": "source"}

    def lost(count: float, host: str, flags: str, code: int = 503, **more: str) -> None:
        labels = {**reviews.labels("v2", code), **unknown, "destination_service": host, "response_flags": flags, **more}
        caller.set("istio_requests_total", labels, count)

    lost(1, f"reviews.{ns}.svc.cluster.local", "UH")
    lost(2, f"reviews.{ns}:9080", "NC")
    lost(4, "reviews:9080", "NC")
    lost(8, f"reviews.{ns}.svc.cluster.local", "UH", 200, grpc_response_status="14")
    lost(16, f"reviews.{ns}.svc.cluster.local", "UF,URX")
    # None of these: another namespace's short name, an answer of an unnamed pod, a success, another service.
    lost(100, "reviews", "NC", source_workload_namespace="elsewhere")
    lost(100, f"reviews.{ns}.svc.cluster.local", "-")
    lost(100, f"reviews.{ns}.svc.cluster.local", "-", 200)
    lost(100, f"reviews-admin.{ns}.svc.cluster.local", "UH")
    await reviews.poll()
    reviews.server.add(caller)
    await asyncio.to_thread(reviews.server.await_value, f'sum(istio_requests_total{{pod="gateway",namespace="{ns}"}})', 431)
    await asyncio.sleep(SAMPLING.ingestion_delay + SAMPLING.slice_length + 0.1)
    await reviews.poll()
    assert sum(piece.unattributed_errors for piece in reviews.slices(Reporter.SOURCE)) == 31
    assert reviews.canary(Reporter.SOURCE) == Counts()


async def test_after_an_outage_of_the_operator_nothing_is_lost_or_counted_twice(reviews: Bookinfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicing, "MOST_SLICES", 5)
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 10)
    reviews.server.add(canary)
    await reviews.scraped(10)
    await reviews.poll()
    before = reviews.cursor
    for count in range(11, 31):
        reviews.answered(canary, "v2", count)
        await asyncio.sleep(0.1)
    await reviews.scraped(30)
    while reviews.canary().total < 20:
        await reviews.poll()
        assert len(reviews.polls) < 10
    pieces = reviews.slices(Reporter.DESTINATION)
    assert len(pieces) > 5
    assert (pieces[0].start, pieces[-1].end) == (before, reviews.cursor)
    assert all(left.end == right.start for left, right in itertools.pairwise(pieces))
    assert {round(piece.end - piece.start, 3) for piece in pieces} == {0.2}
    await reviews.poll()
    assert reviews.canary().total == 20
    assert sum(piece.canary.total > 0 for piece in pieces) > 1


async def test_whoever_polls_however_gets_the_same_slices(reviews: Bookinfo) -> None:
    """One polls often, one seldom, and one replays: an outage or a restart changes nothing."""
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 10)
    reviews.server.add(canary)
    await reviews.scraped(10)
    await reviews.poll()
    start = reviews.cursor
    for count in range(11, 31):
        reviews.answered(canary, "v2", count, 500)
        await asyncio.sleep(0.1)
        await reviews.poll()
    await reviews.scraped(40)
    await reviews.poll()
    often = reviews.slices(Reporter.DESTINATION)
    for _ in range(2):
        reviews.polls.clear()
        reviews.cursor = start
        await reviews.poll()
        assert reviews.slices(Reporter.DESTINATION)[: len(often)] == often
    assert sum(piece.canary.errors for piece in often) == 30
