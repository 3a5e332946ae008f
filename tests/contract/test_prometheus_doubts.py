"""What a real Prometheus cannot tell, and what cannot be made of names: problems, failures, restarts, lost data."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from canaryrollout.core.snapshot import Counts, Poll, PollFailure
from canaryrollout.metrics.endpoint import PrometheusEndpoint
from canaryrollout.metrics.prometheus import PrometheusClient
from prometheus_bookinfo import SAMPLING, Bookinfo, bookinfo
from prometheus_server import PrometheusServer, running_prometheus


async def test_when_all_canary_pods_are_gone_there_is_no_data(reviews: Bookinfo) -> None:
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 50)
    reviews.server.add(canary)
    await reviews.scraped(50)
    await reviews.poll()
    reviews.server.remove(canary)
    await reviews.scraped(None)
    await reviews.poll()
    assert reviews.problems() == {"NoData"}


async def test_a_canary_pod_that_is_not_scraped_is_a_problem(reviews: Bookinfo) -> None:
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 50)
    reviews.server.add(canary)
    await reviews.scraped(50)
    reviews.question = replace(reviews.question, canary_pods=2)
    await reviews.poll()
    await reviews.scraped(50)
    await reviews.poll()
    assert reviews.problems() == {"PodNotScraped"}
    second = reviews.pod("v2-b")
    reviews.answered(second, "v2", 1)
    reviews.server.add(second)
    await reviews.scraped(51)
    await reviews.poll()
    assert "PodNotScraped" not in reviews.problems()


async def test_a_histogram_of_infinity_alone_says_nothing_about_latency(reviews: Bookinfo) -> None:
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 10)
    reviews.timed(canary, "v2", {"+Inf": 10})
    reviews.server.add(canary)
    await reviews.poll()
    await reviews.scraped(10)
    await reviews.poll()
    assert reviews.canary() == Counts(total=10)
    assert reviews.problems() == {"NoLatencyBucket"}


async def test_a_cursor_ahead_of_prometheus_is_no_poll(reviews: Bookinfo) -> None:
    await reviews.poll()
    assert reviews.cursor is not None
    reviews.cursor += 3600
    result = await reviews.poll()
    assert isinstance(result, PollFailure)
    assert result.problem.reason == "ClockBehind"


@pytest.mark.parametrize(
    "name",
    ['x"} or vector(1e6) or up{a="', "x|.*", ".*", "x\\", "x\n", "x'", "x)|(reviews-v2", "x\u0000", "x{1,9}", "résumé"],
)
async def test_names_cannot_leave_their_matcher(reviews: Bookinfo, name: str) -> None:
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 10)
    reviews.server.add(canary)
    await reviews.poll()
    await reviews.scraped(10)
    ours = reviews.question
    for forged in (
        replace(ours, canary_workloads=(name,), stable_workloads=()),
        replace(ours, namespace=name),
        replace(ours, service=name, canary_workloads=("none",), stable_workloads=()),
    ):
        reviews.question = forged
        result = await reviews.provider.poll(forged, reviews.cursor)
        assert isinstance(result, Poll), result
        assert not any(piece.canary.total or piece.stable.total or piece.unattributed_errors for piece in result.slices)


async def test_a_name_full_of_special_characters_matches_itself(reviews: Bookinfo) -> None:
    canary, name = reviews.pod("v2-a"), 'a.b*"\\|{x}\n'
    canary.set("istio_requests_total", {**reviews.labels("v2"), "destination_workload": name}, 5)
    reviews.question = replace(reviews.question, canary_workloads=(name,))
    await reviews.poll()
    reviews.server.add(canary)
    await reviews.scraped(5)
    await reviews.poll()
    assert reviews.canary().total == 5


async def test_the_clock_of_the_operators_machine_does_not_matter(reviews: Bookinfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 12345.0)
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 5)
    await reviews.poll()
    reviews.server.add(canary)
    await reviews.scraped(5)
    await reviews.poll()
    assert reviews.canary().total == 5


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A server that a test may stop."""
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as server:
        yield server


@pytest.fixture
async def lonely(own: PrometheusServer) -> AsyncIterator[Bookinfo]:
    """reviews on that server."""
    client = PrometheusClient(PrometheusEndpoint(url=own.url, timeout=5))
    yield bookinfo(own, client)
    await client.close()


def known_for_long(reviews: Bookinfo) -> None:
    """The baseline has seen stable for ten minutes, whatever this Prometheus remembers."""
    assert reviews.cursor is not None
    reviews.question = replace(reviews.question, known_since=reviews.cursor - 600.0)


async def test_a_restart_of_prometheus_neither_loses_nor_repeats_requests(own: PrometheusServer, lonely: Bookinfo) -> None:
    stable, canary = lonely.pod("v1-a"), lonely.pod("v2-a")
    lonely.answered(stable, "v1", 1000)
    lonely.answered(canary, "v2", 100)
    own.add(stable, canary)
    await lonely.scraped(1100)
    await lonely.poll()
    own.stop(signal.SIGKILL)
    assert isinstance(await lonely.poll(), PollFailure)
    lonely.answered(stable, "v1", 1200)
    lonely.answered(canary, "v2", 140)
    own.start()
    await lonely.scraped(1340)
    await lonely.poll()
    await lonely.poll()
    assert (lonely.stable().total, lonely.canary().total) == (200, 40)


async def test_a_prometheus_that_lost_its_data_is_noticed_and_nothing_counts_twice(own: PrometheusServer, lonely: Bookinfo) -> None:
    stable, canary = lonely.pod("v1-a"), lonely.pod("v2-a")
    lonely.answered(stable, "v1", 1000)
    lonely.answered(canary, "v2", 100, 500)
    own.add(stable, canary)
    await lonely.scraped(1100)
    await lonely.poll()
    own.stop()
    own.start("empty")
    await lonely.scraped(1100)
    await lonely.poll()
    assert lonely.canary() == Counts()
    assert "HistoryLost" in lonely.problems()
    lonely.answered(canary, "v2", 103, 500)
    await lonely.scraped(1103)
    await lonely.poll()
    assert lonely.canary().errors == 3


async def test_after_a_loss_of_data_nothing_counts_twice_whenever_each_proxy_is_scraped(own: PrometheusServer, lonely: Bookinfo) -> None:
    """The canary may be scraped for the first time when stable has been for a while, or before it: neither is new."""
    stable, canary, early = lonely.pod("v1-a"), lonely.pod("v2-a"), lonely.pod("v2-b")
    lonely.answered(stable, "v1", 1000)
    lonely.answered(canary, "v2", 100, 500)
    lonely.answered(early, "v2", 40, 500)
    own.add(stable, canary, early)
    await lonely.scraped(1140)
    await lonely.poll()
    known_for_long(lonely)
    own.stop()
    own.remove(stable)
    own.remove(canary)
    own.start("empty")
    for pod, seen in ((None, 40), (stable, 1040), (canary, 1140)):
        if pod is not None:
            own.add(pod)
        await lonely.scraped(seen)
        await lonely.poll()
        assert "HistoryLost" in lonely.problems()
    lonely.answered(canary, "v2", 103, 500)
    await lonely.scraped(1143)
    await lonely.poll()
    assert (lonely.canary().errors, lonely.stable().total) == (3, 0)


async def test_what_is_new_long_after_a_loss_of_data_counts_from_its_first_request(own: PrometheusServer, lonely: Bookinfo) -> None:
    stable, canary = lonely.pod("v1-a"), lonely.pod("v2-a")
    lonely.answered(stable, "v1", 1000)
    own.add(stable)
    await lonely.scraped(1000)
    await lonely.poll()
    known_for_long(lonely)
    await asyncio.sleep(SAMPLING.oldest(None) + SAMPLING.slice_length)
    lonely.answered(canary, "v2", 7, 500)
    lonely.answered(stable, "v1", 60, 404)  # more than half of what stable shows in that slice, and as new as the canary
    own.add(canary)
    await lonely.scraped(1067)
    await lonely.poll()
    assert "HistoryLost" not in lonely.problems()
    assert (lonely.canary().errors, lonely.stable().total) == (7, 60)
