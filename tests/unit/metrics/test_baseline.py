"""The hour before a rollout, from samples."""

from collections.abc import Sequence

import pytest
from canaryrollout.api.evidence import Baseline, ReporterBaseline
from canaryrollout.core.snapshot import Poll, PollFailure
from canaryrollout.metrics import baseline
from canaryrollout.metrics.answers import Sample
from canaryrollout.metrics.baseline import Answers, burst
from canaryrollout.metrics.endpoint import PrometheusEndpoint
from canaryrollout.metrics.istio import IstioPrometheus, Sampling
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.metrics.provider import Question
from hostile import Hostile, ok, raw, serving

END = 1_700_000_005_000
NOW = END / 1000.0
QUESTION = Question("bookinfo", "reviews", ("reviews-v2",), ("reviews-v1",), latency_threshold=0.5, canary_pods=2)
STABLE = baseline.of_stable(QUESTION, ())


def at(ago: int, value: float, code: str = "200", **more: str) -> Sample:
    """A sample of the slice that ended `ago` slices before the end."""
    labels = {"reporter": "destination", "destination_workload": "reviews-v1", "response_code": code, **more}
    return Sample(END - ago * 15_000, labels, value)


def read(requests: Sequence[Sample], durations: Sequence[Sample] = (), interval: Sequence[Sample] = ()) -> Baseline:
    return baseline.read(STABLE, END, Answers(requests, durations, (), interval))


def test_independent_errors_have_a_factor_of_about_one_and_clumps_of_about_their_size() -> None:
    assert burst([(1000.0, float(9 + index % 3)) for index in range(240)]) < 1.0
    assert burst([(100.0, 10.0 if index % 10 == 0 else 0.0) for index in range(240)]) == pytest.approx(9.1, abs=0.1)


def test_a_factor_is_pearsons_chi_squared_per_degree_of_freedom() -> None:
    # Pooled 3/30: (1-1)^2, (2-1)^2, (0-1)^2 over 10 x 0.1 x 0.9, two degrees of freedom.
    assert burst([(10.0, 1.0), (10.0, 2.0), (10.0, 0.0), (0.0, 0.0)]) == 1.112, "(0 + 1 + 1) / 0.9 / 2, rounded up"


@pytest.mark.parametrize("counted", [[], [(5.0, 1.0)], [(5.0, 0.0)] * 9, [(5.0, 5.0)] * 9, [(0.0, 0.0)] * 9])
def test_where_nothing_can_clump_the_factor_is_one(counted: list[tuple[float, float]]) -> None:
    assert burst(counted) == 1.0


def test_no_factor_is_too_large_for_the_status() -> None:
    assert burst([(1e12, 0.0)] * 239 + [(1e12, 1e11)]) == 1e6


def test_an_outage_says_nothing_about_the_clumps_of_ordinary_days() -> None:
    ordinary = [(1000.0, float(9 + index % 3)) for index in range(230)]
    assert burst(ordinary + [(1000.0, 500.0)] * 10) == burst(ordinary)


def test_the_span_begins_with_the_first_sample() -> None:
    assert read([at(3, 10.0), at(0, 10.0)]).seconds == 60.0
    assert read([at(239, 10.0)]).seconds == 3600.0
    assert read([]) == Baseline()


def test_a_reporter_without_series_is_none_and_one_without_requests_is_not() -> None:
    found = read([at(1, 0.0)])
    assert found.destination == ReporterBaseline()
    assert found.source is None


def test_a_slice_in_which_history_was_lost_is_left_out() -> None:
    found = read([at(2, 1e6, born="true"), at(1, 20.0), at(0, 30.0), at(0, 1.0, "500")])
    assert found.destination == ReporterBaseline(requests=51.0, errors=1.0, error_burst=burst([(20.0, 0.0), (31.0, 1.0)]))


def test_errors_without_a_workload_are_added_up_but_not_those_of_an_outage() -> None:
    lost = {"reporter": "source", "destination_workload": "unknown", "destination_service": "reviews.bookinfo", "response_flags": "UH"}
    answered = [at(ago, 100.0, reporter="source") for ago in (0, 5, 9)]
    found = read([*answered, at(5, 3.0, "503", **lost), at(0, 4.0, "503", **lost), at(0, 90.0, "404", **lost)])
    assert found.unattributed == 7.0
    assert read([*answered, at(5, 3.0, "503", **lost), at(9, 60.0, "503", **lost)]).unattributed == 3.0


def test_of_very_many_edges_those_around_the_threshold_are_kept() -> None:
    many = [Sample(END, {"le": str(edge)}, 1.0) for edge in range(1, 2000)]
    found = baseline.of_stable(QUESTION, many).edges
    assert len(found) == 64
    assert 500.0 in found
    assert found == tuple(sorted(found))


def provider(server: Hostile) -> tuple[PrometheusClient, IstioPrometheus]:
    client = PrometheusClient(PrometheusEndpoint(url=server.url, timeout=10, concurrency=1))
    return client, IstioPrometheus(client, Sampling(ingestion_delay=0.5))


async def test_a_first_poll_counts_nothing_and_asks_for_an_hour_in_two_queries() -> None:
    with serving(ok([NOW, f"{NOW}"], "scalar"), ok([])) as server:
        client, metrics = provider(server)
        result = await metrics.poll(QUESTION, None)
        await client.close()
    assert isinstance(result, Poll)
    assert (result.slices, result.baseline) == ((), Baseline())
    assert result.now is not None
    assert result.time == pytest.approx(result.now - 0.5)
    ranged = [request for request in server.requests if "/query_range" in request.line]
    assert len(server.requests) == 1 + 3 + 2
    assert {float(request.form["end"][0]) - float(request.form["start"][0]) for request in ranged} == {3600.0 - 15.0}
    assert {request.form["step"][0] for request in ranged} == {"15.000"}
    assert not any("reviews-v2" in request.form["query"][0] for request in ranged)


async def test_a_history_that_cannot_be_had_keeps_no_rollout_from_being_watched() -> None:
    few = [ok([NOW, f"{NOW}"], "scalar"), *(answer for _ in range(3) for answer in (ok([]), ok([]), ok([]), raw("", "503 Busy"), ok([])))]
    with serving(*few) as server:
        client, metrics = provider(server)
        results = [await metrics.poll(QUESTION, None) for _ in range(3)]
        await client.close()
    assert [type(result) for result in results] == [PollFailure, PollFailure, Poll]
    assert isinstance(results[-1], Poll)
    assert results[-1].baseline == Baseline()


async def test_a_hanging_history_takes_no_longer_than_the_time_out_in_all() -> None:
    with serving(ok([NOW, f"{NOW}"], "scalar"), ok([]), ok([]), ok([]), lambda _: None) as server:
        client = PrometheusClient(PrometheusEndpoint(url=server.url, timeout=0.5))
        result = await IstioPrometheus(client, Sampling()).poll(QUESTION, None)
        await client.close()
    assert isinstance(result, PollFailure)
    assert result.problem.reason == "PrometheusTimeout"


@pytest.mark.parametrize(
    ("before", "weight_since", "since"),
    [
        (Baseline(seconds=600.0), 1000.0, 415.0),
        (Baseline(seconds=15.0), 1000.0, 1000.0),
        (Baseline(), 1000.0, None),
        (Baseline(seconds=600.0), None, None),
        (None, 1000.0, None),
    ],
)
def test_stable_is_known_since_it_was_first_seen_in_the_hour_before(
    before: Baseline | None, weight_since: float | None, since: float | None
) -> None:
    """Where it was not seen at all, what its first requests bring is new, as are those of the canary beside it."""
    assert baseline.known_since(before, weight_since) == since


def test_a_stable_without_requests_in_the_hour_before_is_not_known() -> None:
    assert baseline.known_since(read(()), 1000.0) is None
