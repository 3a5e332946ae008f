"""What a real Prometheus tells about the hour before a rollout."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from canaryrollout.api.evidence import Baseline, ReporterBaseline
from canaryrollout.core.snapshot import Poll, Reporter
from canaryrollout.metrics.baseline import burst
from prometheus_bookinfo import SAMPLING, Bookinfo

SCRAPE = 15_000
REQUESTS = "istio_requests_total"
BUCKETS = "istio_request_duration_milliseconds_bucket"
UNKNOWN = {"destination_workload": "unknown", "destination_workload_namespace": "unknown", "response_flags": "UH"}

Past = dict[str, list[tuple[int, float]]]


def grown(by: Callable[[int], float], minutes: int = 80, start: float = 0.0) -> list[tuple[int, float]]:
    """A counter scraped every 15 s that grew `by(i)` before its scrape i."""
    count, value, now, points = minutes * 4, start, time.time_ns() // 1_000_000, []
    for index in range(count):
        value += by(index)
        points.append((now - (count - 1 - index) * SCRAPE, value))
    return points


async def baseline(reviews: Bookinfo, past: Past) -> Baseline:
    await asyncio.to_thread(reviews.server.remember, past)
    result = await reviews.poll()
    assert isinstance(result, Poll), result
    assert result.slices == ()
    assert result.now is not None
    assert result.time < result.now
    assert result.baseline is not None
    return result.baseline


def counter(reviews: Bookinfo, code: int | str = 200, reporter: str = "destination", pod: str = "v1-a", **more: str) -> str:
    return reviews.pod(pod).series(REQUESTS, reviews.labels("v1", code, reporter, **more))


def bucket(reviews: Bookinfo, edge: str) -> str:
    return reviews.pod("v1-a").series(BUCKETS, {**reviews.labels("v1"), "le": edge})


async def test_an_hour_of_stable_is_counted_with_its_clumps(reviews: Bookinfo) -> None:
    def clump(index: int) -> float:
        return 12.0 if index % 40 == 0 else 0.0

    past = {
        counter(reviews): grown(lambda _: 150.0),
        counter(reviews, 503): grown(clump),
        counter(reviews, 200, "source", "gateway"): grown(lambda _: 150.0),
        bucket(reviews, "250"): grown(lambda _: 140.0),
        bucket(reviews, "500.0"): grown(lambda index: 149.0 if index % 2 else 147.0),
        bucket(reviews, "+Inf"): grown(lambda _: 150.0),
        reviews.pod("gateway").series(REQUESTS, {**reviews.labels("v1", 503, "source"), **UNKNOWN}): grown(lambda i: float(i % 60 == 0)),
    }
    found = await baseline(reviews, past)
    assert found.seconds == 3600.0
    assert found.scrape_interval == 15.0
    assert found.edges == (250.0, 500.0)
    assert found.unattributed == 4.0
    assert found.source == ReporterBaseline(requests=36_000.0)
    expected = burst([(162.0, 12.0)] * 6 + [(150.0, 0.0)] * 234)
    assert expected > 10.0
    assert found.destination is not None
    assert found.destination.model_copy(update={"error_burst": 1.0, "slow_burst": 1.0}) == ReporterBaseline(
        requests=36_072.0, errors=72.0, timed=36_000.0, not_fast=480.0
    )
    assert found.destination.error_burst == pytest.approx(expected)
    assert found.destination.slow_burst == pytest.approx(burst([(150.0, 1.0), (150.0, 3.0)] * 120))


async def test_the_present_traffic_is_that_of_the_last_minute(reviews: Bookinfo) -> None:
    seen = await baseline(reviews, {counter(reviews): grown(lambda i: 30.0 if i < 300 else 300.0)})
    assert seen.requests_per_second == pytest.approx(20.0, rel=0.1)
    assert seen.destination is not None
    assert seen.destination.requests / seen.seconds < 8.0


async def test_a_restart_of_a_pod_in_that_hour_counts_from_zero_again(reviews: Bookinfo) -> None:
    points = grown(lambda _: 10.0)
    restarted = [(at, value if index < 200 else value - 2000.0) for index, (at, value) in enumerate(points)]
    found = await baseline(reviews, {counter(reviews): restarted})
    assert found.destination is not None
    assert found.destination.requests == 2400.0


async def test_a_loss_of_history_is_not_taken_for_traffic(reviews: Bookinfo) -> None:
    found = await baseline(reviews, {counter(reviews): grown(lambda _: 10.0, minutes=30, start=1e6)})
    assert found.destination is not None
    assert found.destination.requests == 119 * 10.0
    assert found.seconds == pytest.approx(1800.0, abs=15.0)


async def test_without_history_there_is_a_baseline_of_nothing(reviews: Bookinfo) -> None:
    assert await baseline(reviews, {}) == Baseline()


async def test_without_a_stable_version_there_is_a_baseline_of_nothing(reviews: Bookinfo) -> None:
    reviews.question = replace(reviews.question, stable_workloads=())
    assert await baseline(reviews, {counter(reviews): grown(lambda _: 10.0)}) == Baseline()


async def test_an_idle_service_has_reporters_without_requests(reviews: Bookinfo) -> None:
    found = await baseline(reviews, {counter(reviews): grown(lambda _: 0.0, start=7.0)})
    assert found.destination == ReporterBaseline()
    assert found.source is None


async def test_slices_go_on_where_the_baseline_ends(reviews: Bookinfo) -> None:
    await baseline(reviews, {counter(reviews): grown(lambda _: 10.0)})
    start = reviews.cursor
    canary = reviews.pod("v2-a")
    reviews.answered(canary, "v2", 8, 503)
    reviews.server.add(canary)
    query = f'sum({REQUESTS}{{destination_workload="reviews-v2",namespace="{reviews.namespace}"}})'
    await asyncio.to_thread(reviews.server.await_value, query, 8)
    await asyncio.sleep(SAMPLING.ingestion_delay + SAMPLING.slice_length + 0.1)
    await reviews.poll()
    found = [piece for piece in reviews.slices(Reporter.DESTINATION) if piece.canary.total]
    assert found[0].canary.errors == 8
    assert start is not None
    steps = (found[0].end - start) / SAMPLING.slice_length
    assert steps == pytest.approx(round(steps), abs=1e-3)


async def test_a_service_of_many_pods_and_callers_has_its_baseline_within_the_time_out(reviews: Bookinfo) -> None:
    """300 counters and 1,200 buckets: 20 pods that answer 15 kinds of callers and codes."""
    past = {}
    for number in range(20):
        for code in range(200, 205):
            for caller in ("a", "b", "c"):
                labels = {**reviews.labels("v1", code), "source_workload": caller}
                past[reviews.pod(f"v1-{number}").series(REQUESTS, labels)] = grown(lambda _: 1.0)
                for edge in ("250", "500", "1000", "+Inf"):
                    past[reviews.pod(f"v1-{number}").series(BUCKETS, {**labels, "le": edge})] = grown(lambda _: 1.0)
    found = await baseline(reviews, past)
    assert found.destination is not None
    assert found.destination.requests == found.destination.timed > 230 * 300.0  # less what Prometheus took to read all this
    assert found.edges == (250.0, 500.0, 1000.0)


async def test_another_threshold_takes_the_edge_below(reviews: Bookinfo) -> None:
    reviews.question = replace(reviews.question, latency_threshold=0.4)
    past = {
        counter(reviews): grown(lambda _: 10.0),
        bucket(reviews, "300"): grown(lambda _: 8.0),
        bucket(reviews, "500"): grown(lambda _: 9.0),
        bucket(reviews, "+Inf"): grown(lambda _: 10.0),
    }
    found = await baseline(reviews, past)
    assert found.destination is not None
    assert (found.edges, found.destination.not_fast) == ((300.0, 500.0), 480.0)
