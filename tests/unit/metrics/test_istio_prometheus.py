"""The provider's arithmetic of time, and its economy with queries."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from canaryrollout.core.snapshot import Poll, PollFailure
from canaryrollout.metrics.endpoint import PrometheusEndpoint
from canaryrollout.metrics.istio import IstioPrometheus, Sampling, slice_ends
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.metrics.provider import Question
from hostile import Answer, Hostile, ok, raw, serving
from hypothesis import given
from hypothesis import strategies as st

QUESTION = Question("bookinfo", "reviews", ("reviews-v2",), ("reviews-v1",), latency_threshold=0.5, canary_pods=2)
NOW = 1_700_000_000.0


def the_time(now: float = NOW) -> Answer:
    return ok([now, f"{now}"], "scalar")


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Hostile, IstioPrometheus]]:
    with serving(the_time(), ok([])) as server:
        client = PrometheusClient(PrometheusEndpoint(url=server.url, timeout=10))
        yield server, IstioPrometheus(client, Sampling(ingestion_delay=0.5))
        await client.close()


async def test_without_a_cursor_only_the_time_is_asked_for(provider: tuple[Hostile, IstioPrometheus]) -> None:
    server, metrics = provider
    result = await metrics.poll(QUESTION, None)
    assert isinstance(result, Poll)
    assert NOW - 0.5 <= result.time < NOW + 5
    assert [request.form["query"] for request in server.requests] == [["time()"]]


async def test_a_poll_takes_three_queries_at_one_time_and_the_clock_is_kept(provider: tuple[Hostile, IstioPrometheus]) -> None:
    server, metrics = provider
    first = await metrics.poll(QUESTION, NOW - 5)
    second = await metrics.poll(QUESTION, NOW - 5)
    assert len(server.requests) == 1 + 3 + 3
    assert isinstance(first, Poll)
    assert isinstance(second, Poll)
    assert {float(request.form["time"][0]) for request in server.requests[1:4]} == {first.time}
    assert {float(request.form["time"][0]) for request in server.requests[4:]} == {second.time}


async def test_a_long_gap_takes_no_more_queries(provider: tuple[Hostile, IstioPrometheus]) -> None:
    server, metrics = provider
    result = await metrics.poll(QUESTION, NOW - 3600)
    assert isinstance(result, Poll)
    ranged = [request for request in server.requests if "/query_range" in request.line]
    assert len(server.requests) == 4
    assert len(ranged) == 2
    assert {request.form["end"][0] for request in ranged} == {f"{result.time:.3f}"}


async def test_many_first_polls_share_one_look_at_the_clock(provider: tuple[Hostile, IstioPrometheus]) -> None:
    server, metrics = provider
    await asyncio.gather(*(metrics.poll(QUESTION, None) for _ in range(20)))
    assert len(server.requests) == 1


@pytest.mark.parametrize("bad", [0, 1, 2, 3])
async def test_any_failing_query_fails_the_whole_poll(bad: int) -> None:
    answers = [the_time(), ok([]), ok([]), ok([])]
    answers[bad] = raw("gone", "503 Service Unavailable")
    with serving(*answers) as server:
        client = PrometheusClient(PrometheusEndpoint(url=server.url, timeout=10, concurrency=1))
        result = await IstioPrometheus(client, Sampling()).poll(QUESTION, NOW - 5)
        await client.close()
    assert isinstance(result, PollFailure)
    assert result.problem.reason == "PrometheusRefused"


async def test_the_next_poll_after_a_failure_starts_afresh() -> None:
    with serving(raw("gone", "503 Service Unavailable"), the_time(), ok([])) as server:
        client = PrometheusClient(PrometheusEndpoint(url=server.url, timeout=10))
        metrics = IstioPrometheus(client, Sampling())
        assert isinstance(await metrics.poll(QUESTION, NOW - 5), PollFailure)
        assert isinstance(await metrics.poll(QUESTION, NOW - 5), Poll)
        await client.close()


async def test_empty_answers_are_no_data(provider: tuple[Hostile, IstioPrometheus]) -> None:
    result = await provider[1].poll(QUESTION, NOW - 5)
    assert isinstance(result, Poll)
    assert [problem.reason for problem in result.problems] == ["NoData"]


async def test_a_canary_without_pods_is_no_data_and_a_service_without_any_is_no_poll(provider: tuple[Hostile, IstioPrometheus]) -> None:
    alone = await provider[1].poll(Question("bookinfo", "reviews", (), ("reviews-v1",), 0.5), NOW - 5)
    assert isinstance(alone, Poll)
    assert [problem.reason for problem in alone.problems] == ["NoData"]
    result = await provider[1].poll(Question("bookinfo", "reviews", (), (), 0.5), NOW - 5)
    assert isinstance(result, PollFailure)
    assert result.problem.reason == "NoWorkloads"


@given(cursor=st.integers(1_600_000_000_000, 1_700_000_000_000), gap=st.integers(1, 400_000_000))
def test_slices_are_equal_and_leave_no_gap(cursor: int, gap: int) -> None:
    ends = slice_ends(cursor, cursor + gap)
    starts = [cursor, *ends[:-1]]
    assert all(end - start == ends.step for start, end in zip(starts, ends, strict=True))
    assert 0 <= cursor + gap - ends[-1] < len(ends) <= 60
    assert ends.step <= max(300_000, gap / 60)
    assert all(later > earlier for earlier, later in itertools.pairwise(ends))


def test_a_usual_poll_is_one_slice_up_to_now() -> None:
    assert list(slice_ends(1_700_000_000_000, 1_700_000_005_017)) == [1_700_000_005_017]
