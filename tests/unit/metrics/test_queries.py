"""The text of the queries: matchers, escapes and edges."""

import re
from dataclasses import replace

import pytest
from canaryrollout.metrics import queries
from canaryrollout.metrics.provider import Question

QUESTION = Question("bookinfo", "reviews", ("reviews-v2",), ("reviews-v1",), latency_threshold=0.5, canary_pods=2)


def strings(query: str) -> list[str]:
    """The string literals of a query, still escaped."""
    return re.findall(r'"((?:[^"\\]|\\.)*)"', query)


def test_a_slice_is_counted_by_growth_reset_and_birth() -> None:
    text = queries.build(QUESTION, 5000).requests
    assert "[20000ms]" in text
    assert "[15m] offset 5000ms" in text
    assert text.count(">= 0") == text.count(" unless ") == text.count("label_replace(") == 2


def test_only_the_rollouts_own_namespace_is_asked_for() -> None:
    asked = queries.build(QUESTION, 5000)
    for query in (asked.durations, asked.freshness):
        assert query.count("istio_request") == query.count('destination_workload_namespace="bookinfo"')
    attributed = [part for part in asked.requests.split("istio_requests_total")[1:] if '"unknown"' not in part]
    assert attributed
    assert all('destination_workload_namespace="bookinfo"' in part for part in attributed)


@pytest.mark.parametrize("hostile", ['a"} or up{b="', "a\\", 'a\\"', "a\nb", ".*", "a|b", "(", "a{2}"])
def test_a_name_stays_inside_its_string(hostile: str) -> None:
    plain = queries.build(QUESTION, 5000)
    forged = queries.build(replace(QUESTION, namespace=hostile, service=hostile, canary_workloads=(hostile,)), 5000)
    for ours, theirs in ((plain.requests, forged.requests), (plain.durations, forged.durations), (plain.freshness, forged.freshness)):
        assert len(strings(ours)) == len(strings(theirs))
        assert re.sub(r'"((?:[^"\\]|\\.)*)"', '""', ours) == re.sub(r'"((?:[^"\\]|\\.)*)"', '""', theirs)


@pytest.mark.parametrize(
    "host",
    [
        "reviews",
        "reviews:9080",
        "reviews.bookinfo",
        "reviews.bookinfo.svc",
        "reviews.bookinfo.svc.cluster.local",
        "reviews.bookinfo.svc.a.b:80",
    ],
)
def test_the_services_host_is_known_in_every_form(host: str) -> None:
    assert re.fullmatch(queries.host_pattern(QUESTION), host)


@pytest.mark.parametrize(
    "host", ["reviews2", "reviews.other", "reviews.bookinfo.com", "reviewsxbookinfo", "a.reviews", "reviews:port", "reviews.bookinfo.svc."]
)
def test_other_hosts_are_not_taken_for_the_services(host: str) -> None:
    assert not re.fullmatch(queries.host_pattern(QUESTION), host)
