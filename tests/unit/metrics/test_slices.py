"""From samples to slices: what counts as what, and which data forbids a pass."""

from dataclasses import replace

import pytest
from canaryrollout.core.snapshot import Counts, Problem, Reporter, Slice
from canaryrollout.metrics.answers import Sample
from canaryrollout.metrics.errors import PrometheusError
from canaryrollout.metrics.provider import Question
from canaryrollout.metrics.slices import read_freshness, read_slices

QUESTION = Question("bookinfo", "reviews", ("reviews-v2",), ("reviews-v1",), latency_threshold=0.5, canary_pods=2)
END = 1_700_000_005_000


def outcome(value: float, workload: str = "reviews-v2", code: str = "200", reporter: str = "destination", **more: str) -> Sample:
    return Sample(END, {"reporter": reporter, "destination_workload": workload, "response_code": code, **more}, value)


def bucket(value: float, le: str, workload: str = "reviews-v2", **more: str) -> Sample:
    return Sample(END, {"reporter": "destination", "destination_workload": workload, "le": le, **more}, value)


def scrape(age: float, workload: str = "reviews-v2", reporter: str = "destination", **more: str) -> Sample:
    return Sample(END, {"reporter": reporter, "destination_workload": workload, **more}, END / 1000 - age)


def reasons(problems: tuple[Problem, ...]) -> list[str]:
    return [problem.reason for problem in problems]


def test_versions_and_reporters_are_told_apart() -> None:
    samples = [
        outcome(10),
        outcome(2, code="503"),
        outcome(90, "reviews-v1"),
        outcome(1, "reviews-v1", "500"),
        outcome(7, reporter="source"),
    ]
    slices, _ = read_slices(QUESTION, 5000, samples, [bucket(12, "+Inf"), bucket(9, "500.0"), bucket(91, "+Inf", "reviews-v1")])
    assert slices == (
        Slice(1_700_000_000, 1_700_000_005, Reporter.DESTINATION, Counts(12, 2, 3, 12, 3), Counts(91, 1)),
        Slice(1_700_000_000, 1_700_000_005, Reporter.SOURCE, Counts(7), Counts()),
    )


def test_a_zero_is_a_slice_and_an_empty_answer_is_none() -> None:
    assert len(read_slices(QUESTION, 5000, [outcome(0)], [])[0]) == 1
    assert read_slices(QUESTION, 5000, [], [])[0] == ()


def test_buckets_of_a_restarted_proxy_give_neither_negative_nor_too_many_slow_requests() -> None:
    (piece,), _ = read_slices(QUESTION, 5000, [outcome(3)], [bucket(3, "+Inf"), bucket(8, "500")])
    assert (piece.canary.slow, piece.canary.timed) == (0, 3)


def test_a_client_that_gave_up_is_counted_apart() -> None:
    (piece,), _ = read_slices(QUESTION, 5000, [outcome(3, code="0"), outcome(4), outcome(2, code="500")], [])
    assert piece.canary == Counts(total=9, errors=2, aborted=3)


def test_a_threshold_between_edges_leaves_requests_in_doubt() -> None:
    between = replace(QUESTION, latency_threshold=0.4)
    (piece,), _ = read_slices(between, 5000, [outcome(20)], [bucket(20, "+Inf"), bucket(15, "500"), bucket(11, "250")])
    assert (piece.canary.timed, piece.canary.slow, piece.canary.not_fast) == (20, 5, 9)


def test_measured_edges_are_used() -> None:
    measured = replace(QUESTION, edges=(100.0, 450.0, 700.0))
    (piece,), problems = read_slices(measured, 5000, [outcome(20)], [bucket(20, "+Inf"), bucket(15, "700.0"), bucket(11, "450.0")])
    assert (piece.canary.slow, piece.canary.not_fast, problems) == (5, 9, ())


def test_a_threshold_below_all_edges_proves_nothing_fast_and_one_above_all_nothing_slow() -> None:
    below = replace(QUESTION, latency_threshold=0.0001)
    (piece,), problems = read_slices(below, 5000, [outcome(20)], [bucket(20, "+Inf"), bucket(15, "0.5")])
    assert (piece.canary.slow, piece.canary.not_fast, problems) == (5, 20, ())
    above = replace(QUESTION, latency_threshold=7200)
    (piece,), problems = read_slices(above, 5000, [outcome(20)], [bucket(20, "+Inf"), bucket(15, "3600000")])
    assert (piece.canary.slow, piece.canary.not_fast, problems) == (0, 5, ())


def test_a_workload_without_buckets_is_not_taken_for_a_slow_one() -> None:
    two = replace(QUESTION, canary_workloads=("reviews-v2", "reviews-v2b"))
    durations = [bucket(20, "+Inf"), bucket(15, "500"), bucket(100, "+Inf", "reviews-v2b")]
    (piece,), _ = read_slices(two, 5000, [outcome(20), outcome(100, "reviews-v2b")], durations)
    assert (piece.canary.total, piece.canary.timed, piece.canary.slow) == (120, 20, 5)


def test_a_bucket_without_an_edge_voids_the_answer() -> None:
    with pytest.raises(PrometheusError):
        read_slices(QUESTION, 5000, [outcome(1)], [bucket(1, "many")])


def test_a_missing_bucket_is_a_problem_only_while_the_canary_has_requests() -> None:
    assert reasons(read_slices(QUESTION, 5000, [outcome(3)], [bucket(3, "+Inf")])[1]) == ["NoLatencyBucket"]
    assert reasons(read_slices(QUESTION, 5000, [outcome(0)], [bucket(0, "+Inf")])[1]) == []
    between = replace(QUESTION, latency_threshold=0.4)
    (problem,) = read_slices(between, 5000, [outcome(3)], [bucket(3, "+Inf")])[1]
    assert "lacks the edge 250 ms or 500 ms" in problem.message


def test_one_reporter_with_buckets_is_enough_to_judge_latency() -> None:
    both = [outcome(3), outcome(3, reporter="source")]
    assert read_slices(QUESTION, 5000, both, [bucket(3, "+Inf"), bucket(3, "500")])[1] == ()


def test_a_slice_in_which_stable_is_all_new_is_left_out() -> None:
    samples = [outcome(500, "reviews-v1", born="true"), outcome(80, code="500", born="true"), outcome(3, reporter="source")]
    slices, problems = read_slices(QUESTION, 5000, samples, [])
    assert [piece.reporter for piece in slices] == [Reporter.SOURCE]
    assert "HistoryLost" in reasons(problems)


def test_where_stable_is_all_new_the_canary_is_still_judged_by_how_its_known_series_grew() -> None:
    """New pods of a young stable must not hide a canary that fails meanwhile; but it is not compared with what is left of stable."""
    samples = [
        outcome(500, "reviews-v1", born="true"),
        outcome(3, "reviews-v1"),
        outcome(80, born="true"),
        outcome(7, code="500"),
        outcome(20),
        outcome(9, code="500", reporter="source"),
    ]
    durations = [bucket(80, "+Inf", born="true"), bucket(27, "+Inf"), bucket(25, "500"), bucket(3, "+Inf", "reviews-v1")]
    slices, problems = read_slices(QUESTION, 5000, samples, durations)
    by = {piece.reporter: piece for piece in slices}
    assert by[Reporter.DESTINATION].canary == Counts(27, 7, 2, 27, 2)
    assert by[Reporter.DESTINATION].stable == Counts()
    assert by[Reporter.SOURCE].canary.errors == 9
    assert "HistoryLost" in reasons(problems)


def test_of_what_is_new_without_a_past_only_the_growth_of_the_rest_counts() -> None:
    samples = [
        outcome(500, "reviews-v1"),
        outcome(80, code="500", born="true"),
        outcome(2, code="500"),
        outcome(3, reporter="source", born="true"),
    ]
    durations = [bucket(80, "+Inf", born="true"), bucket(2, "+Inf"), bucket(2, "500")]
    history = {(samples[0].time, Reporter.DESTINATION): False, (samples[0].time, Reporter.SOURCE): True}
    slices, problems = read_slices(QUESTION, 5000, samples, durations, history)
    by = {piece.reporter: piece for piece in slices}
    canary = by[Reporter.DESTINATION].canary
    assert (canary.total, canary.errors, canary.timed, by[Reporter.DESTINATION].stable.total) == (2, 2, 2, 500)
    assert by[Reporter.SOURCE].canary.total == 3
    assert "HistoryLost" in reasons(problems)


def test_what_is_new_beside_a_past_counts_even_where_it_is_most_of_stable() -> None:
    sample = outcome(500, "reviews-v1", born="true")
    slices, problems = read_slices(QUESTION, 5000, [sample], [], {(sample.time, Reporter.DESTINATION): True})
    assert (slices[0].stable.total, problems) == (500, ())


@pytest.mark.parametrize("born", [(49, 0), (400, 401)])
def test_new_series_beside_known_ones_are_counted(born: tuple[float, float]) -> None:
    new, known = born
    slices, problems = read_slices(QUESTION, 5000, [outcome(new, "reviews-v1", born="true"), outcome(known, "reviews-v1")], [])
    assert slices[0].stable.total == new + known
    assert problems == ()


@pytest.mark.parametrize(
    ("labels", "charged"),
    [
        ({"response_flags": "UH", "destination_service": "reviews.bookinfo.svc.cluster.local"}, 5),
        ({"response_flags": "NC", "destination_service": "reviews.bookinfo:9080"}, 5),
        ({"response_flags": "UF,URX", "destination_service": "reviews.bookinfo"}, 5),
        ({"destination_service": "reviews.bookinfo"}, 5),
        ({"response_flags": "NC", "destination_service": "reviews", "source_workload_namespace": "bookinfo"}, 5),
        ({"response_flags": "NC", "destination_service": "reviews:80", "source_workload_namespace": "other"}, 0),
        ({"response_flags": "-", "destination_service": "reviews.bookinfo"}, 0),
        ({"response_flags": "URX", "destination_service": "reviews.bookinfo"}, 0),
    ],
)
def test_errors_without_a_pod_are_charged_to_no_version(labels: dict[str, str], charged: float) -> None:
    (piece,), _ = read_slices(QUESTION, 5000, [outcome(5, "unknown", "503", "source", **labels)], [])
    assert (piece.unattributed_errors, piece.canary, piece.stable) == (charged, Counts(), Counts())


@pytest.mark.parametrize(
    "sample",
    [
        outcome(1, "details-v1"),
        outcome(1, reporter="waypoint"),
        Sample(END, {"reporter": "source", "destination_workload": "reviews-v2"}, 1),
        Sample(END, {"response_code": "200", "destination_workload": "reviews-v2"}, 1),
    ],
)
def test_series_that_were_not_asked_for_void_the_answer(sample: Sample) -> None:
    with pytest.raises(PrometheusError):
        read_slices(QUESTION, 5000, [sample], [])


def test_fresh_samples_of_all_pods_are_no_problem() -> None:
    assert read_freshness(QUESTION, END, [scrape(3, pod="a"), scrape(14, pod="b"), scrape(3, reporter="source")], 35) == ()


def test_no_series_of_the_canary_is_no_data() -> None:
    assert reasons(read_freshness(QUESTION, END, [scrape(3, "reviews-v1", pod="x")], 35)) == ["NoData"]


def test_old_samples_are_stale_and_their_pods_count_as_not_scraped() -> None:
    problems = read_freshness(QUESTION, END, [scrape(80, pod="a"), scrape(80, pod="b")], 35)
    assert reasons(problems) == ["Stale", "PodNotScraped"]
    assert "is 80 s old" in problems[0].message


def test_a_pod_whose_samples_stopped_is_not_scraped() -> None:
    (problem,) = read_freshness(QUESTION, END, [scrape(3, pod="a"), scrape(200, pod="b")], 35)
    assert problem.reason == "PodNotScraped"
    assert problem.message.startswith("1 of 2 pods of reviews-v2")


def test_callers_alone_are_enough_where_no_proxy_of_the_service_reports() -> None:
    assert read_freshness(QUESTION, END, [scrape(3, reporter="source"), scrape(3, "reviews-v1", "source")], 35) == ()
    silent = read_freshness(QUESTION, END, [scrape(3, reporter="source"), scrape(3, "reviews-v1", pod="x")], 35)
    assert reasons(silent) == ["PodNotScraped"]


def test_series_without_a_pod_label_are_a_problem() -> None:
    assert reasons(read_freshness(QUESTION, END, [scrape(3)], 35)) == ["PodLabelMissing"]


def test_a_missing_pod_label_shows_before_the_canary_has_its_first_request() -> None:
    assert reasons(read_freshness(QUESTION, END, [scrape(3, "reviews-v1")], 35)) == ["NoData", "PodLabelMissing"]


def test_one_of_three_pods_that_is_not_scraped_is_a_problem() -> None:
    three = replace(QUESTION, canary_pods=3)
    two = [scrape(3, pod="a"), scrape(3, pod="b")]
    assert reasons(read_freshness(three, END, two, 35)) == ["PodNotScraped"]
    assert read_freshness(three, END, [*two, scrape(9, pod="c")], 35) == ()
