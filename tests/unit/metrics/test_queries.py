"""The text of the queries: matchers, escapes and edges."""

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import pytest
from canaryrollout.metrics import queries
from canaryrollout.metrics.provider import Question
from hypothesis import given
from hypothesis import strategies as st

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


def window(query: str) -> tuple[int, int]:
    """The range and the offset of the last selector, in milliseconds."""
    found = re.findall(r"\[(\d+)ms\] offset (\d+)ms", query)[-1]
    return int(found[0]), int(found[1])


def seen(samples: Iterable[int], end: int, span: int, offset: int) -> bool:
    """As PromQL: a range is (end - offset - span, end - offset]."""
    return any(end - offset - span < sample <= end - offset for sample in samples)


PHASES = (0.0, 0.3, 0.9, 0.999)
"""When a proxy is scraped, in intervals."""


@pytest.mark.parametrize("interval", [1_000, 15_000, 30_000, 60_000])
@pytest.mark.parametrize(("phase", "other_phase"), list(product(PHASES, PHASES)))
def test_what_is_old_is_never_taken_for_new_after_however_long_a_gap(interval: int, phase: float, other_phase: float) -> None:
    """Two proxies are scraped at their own moments, but for a gap: where one looks born, the other must not vouch for it."""
    length, settle, lookback, grace = 5_000, 2 * interval + 5_000, 900_000, 15_000
    span, offset = window(queries.known_before(QUESTION, length, settle, interval) or "")
    births = 0
    for away in (*range(lookback - 3 * interval, lookback + 3 * interval, interval // 7), 2 * lookback):
        one, other = ([round(i * interval + p * interval) + (away if i >= 0 else 0) for i in range(-9, 9)] for p in (phase, other_phase))
        first = one[9]
        for end in range(first, first + length + grace, 500):  # the slices that may be the sample's
            if seen(one, end, length + grace, 0) and not seen(one, end, lookback, length):
                births += 1
                assert not seen((*one, *other), end, span, offset), (away, end)
    assert births > 100


@given(interval=st.integers(1_000, 400_000), known=st.integers(0, 3_600_000), failed=st.integers(1, 3_600))
def test_what_is_new_beside_what_has_long_been_known_is_believed(interval: int, known: int, failed: int) -> None:
    """Although one scrape has failed: else a canary's first errors would be taken for old ones."""
    length, settle = 5_000, 2 * interval + 5_000
    query = queries.known_before(QUESTION, length, settle, interval)
    assert (query is None) is (interval > 179_000)
    if query is not None:
        span, offset = window(query)
        end = length + settle + known
        assert seen((sample for sample in range(0, end, interval) if sample != failed * interval), end, span, offset)


@pytest.mark.parametrize("interval", [180_000, 240_000, 290_000, 300_000])
def test_scrapes_that_are_about_as_rare_as_the_look_back_tell_nothing(interval: int) -> None:
    assert queries.known_before(QUESTION, 5_000, 2 * interval + 5_000, interval) is None
