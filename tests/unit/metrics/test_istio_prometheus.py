"""The provider's arithmetic of time, and its economy with queries."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from canaryrollout.core.snapshot import Poll, PollFailure
from canaryrollout.metrics.endpoint import PrometheusEndpoint
from canaryrollout.metrics.istio import IstioPrometheus, Sampling
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.metrics.provider import Question
from hostile import Answer, Hostile, ok, raw, serving
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


async def test_a_poll_takes_three_queries_and_the_clock_is_kept(provider: tuple[Hostile, IstioPrometheus]) -> None:
    server, metrics = provider
    first = await metrics.poll(QUESTION, NOW - 7)
    second = await metrics.poll(QUESTION, NOW - 7)
    assert len(server.requests) == 1 + 3 + 3
    assert isinstance(first, Poll)
    assert isinstance(second, Poll)
    assert first.time == second.time == NOW - 2
    assert first.now is not None
    assert NOW <= first.now < NOW + 5
    counting = [request for request in server.requests if "offset" in request.form["query"][0]]
    assert {request.form["time"][0] for request in counting} == {f"{NOW - 2:.3f}"}


@pytest.mark.parametrize(
    ("known_since", "past", "counted"),
    [
        (0.0, ("destination", "source"), 9),
        (0.0, ("source",), 9),  # new pods, or ones that are scraped again: too few to tell
        (0.0, (), None),
        (NOW - 20, None, 9),
        (None, None, 9),
    ],
)
async def test_one_more_query_is_asked_where_series_are_new_that_should_have_a_past(
    known_since: float | None, past: tuple[str, ...] | None, counted: int | None
) -> None:
    labels = {"reporter": "destination", "destination_workload": "reviews-v2", "response_code": "500", "born": "true"}
    new = ok([{"metric": labels, "value": [NOW - 2, "9"]}])
    history = () if past is None else (ok([{"metric": {"reporter": reporter}, "value": [NOW - 2, "3"]} for reporter in past]),)
    with serving(the_time(), new, ok([]), *history, ok([])) as server:
        client = PrometheusClient(PrometheusEndpoint(url=server.url, timeout=10, concurrency=1))
        result = await IstioPrometheus(client, Sampling()).poll(replace(QUESTION, known_since=known_since, scrape_interval=15.0), NOW - 7)
        await client.close()
    assert isinstance(result, Poll)
    assert len(server.requests) == 4 + len(history)
    assert [piece.canary.errors for piece in result.slices if piece.canary.total] == ([counted] if counted else [])
    assert ("HistoryLost" in [problem.reason for problem in result.problems]) is (past == ())


async def test_where_only_the_other_reporter_has_a_past_a_slice_is_left_out_in_which_most_of_stable_is_new() -> None:
    """As where callers have not been scraped for longer than the look-back."""
    labels = {"reporter": "source", "destination_workload": "reviews-v1", "response_code": "200", "born": "true"}
    new = ok([{"metric": labels, "value": [NOW - 2, "900"]}])
    with serving(the_time(), new, ok([]), ok([{"metric": {"reporter": "destination"}, "value": [NOW - 2, "3"]}]), ok([])) as server:
        client = PrometheusClient(PrometheusEndpoint(url=server.url, timeout=10, concurrency=1))
        result = await IstioPrometheus(client, Sampling()).poll(replace(QUESTION, known_since=0.0, scrape_interval=15.0), NOW - 7)
        await client.close()
    assert isinstance(result, Poll)
    assert result.slices == ()
    assert "HistoryLost" in [problem.reason for problem in result.problems]


async def test_a_poll_before_the_next_slice_is_complete_asks_only_how_fresh_the_data_is(
    provider: tuple[Hostile, IstioPrometheus],
) -> None:
    server, metrics = provider
    result = await metrics.poll(QUESTION, NOW - 1)
    assert isinstance(result, Poll)
    assert (result.time, result.slices) == (NOW - 1, ())
    assert [problem.reason for problem in result.problems] == ["NoData"]
    assert len(server.requests) == 2


async def test_a_long_gap_takes_no_more_queries_and_is_caught_up_with_by_and_by(provider: tuple[Hostile, IstioPrometheus]) -> None:
    server, metrics = provider
    result = await metrics.poll(QUESTION, NOW - 3600)
    assert isinstance(result, Poll)
    assert result.time == NOW - 3600 + 60 * 5
    ranged = [request for request in server.requests if "/query_range" in request.line]
    assert len(server.requests) == 4
    assert len(ranged) == 2
    assert {(request.form["end"][0], request.form["step"][0]) for request in ranged} == {(f"{result.time:.3f}", "5.000")}


async def test_many_polls_share_one_look_at_the_clock(provider: tuple[Hostile, IstioPrometheus]) -> None:
    server, metrics = provider
    await asyncio.gather(*(metrics.poll(QUESTION, NOW - 1) for _ in range(20)))
    assert [request.form["query"][0] for request in server.requests].count("time()") == 1


@pytest.mark.parametrize("bad", [0, 1, 2, 3])
async def test_any_failing_query_fails_the_whole_poll(bad: int) -> None:
    answers = [the_time(), ok([]), ok([]), ok([])]
    answers[bad] = raw("gone", "503 Service Unavailable")
    with serving(*answers) as server:
        client = PrometheusClient(PrometheusEndpoint(url=server.url, timeout=10, concurrency=1))
        result = await IstioPrometheus(client, Sampling()).poll(QUESTION, NOW - 7)
        await client.close()
    assert isinstance(result, PollFailure)
    assert result.problem.reason == "PrometheusRefused"


async def test_the_next_poll_after_a_failure_starts_afresh() -> None:
    with serving(raw("gone", "503 Service Unavailable"), the_time(), ok([])) as server:
        client = PrometheusClient(PrometheusEndpoint(url=server.url, timeout=10))
        metrics = IstioPrometheus(client, Sampling())
        assert isinstance(await metrics.poll(QUESTION, NOW - 7), PollFailure)
        assert isinstance(await metrics.poll(QUESTION, NOW - 7), Poll)
        await client.close()


async def test_empty_answers_are_no_data(provider: tuple[Hostile, IstioPrometheus]) -> None:
    result = await provider[1].poll(QUESTION, NOW - 7)
    assert isinstance(result, Poll)
    assert [problem.reason for problem in result.problems] == ["NoData"]


async def test_a_canary_without_pods_is_no_data_and_a_service_without_any_is_no_poll(provider: tuple[Hostile, IstioPrometheus]) -> None:
    alone = await provider[1].poll(Question("bookinfo", "reviews", (), ("reviews-v1",), 0.5), NOW - 5)
    assert isinstance(alone, Poll)
    assert [problem.reason for problem in alone.problems] == ["NoData"]
    result = await provider[1].poll(Question("bookinfo", "reviews", (), (), 0.5), NOW - 5)
    assert isinstance(result, PollFailure)
    assert result.problem.reason == "NoWorkloads"


VISIBLE = st.integers(-20_000, 2_000_000)


def test_a_cursor_survives_its_way_through_the_status_to_the_millisecond() -> None:
    for cursor in range(1_700_000_000_000, 1_700_000_002_000):
        assert round(float(repr(cursor / 1000.0)) * 1000.0) == cursor
