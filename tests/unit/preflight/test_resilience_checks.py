"""Retries, time-outs and outlier detection."""

from typing import Any

import pytest
from canaryrollout.core.preflight.resilience import seconds
from scene import Scene, pod, said, to

DETECTION = {"outlierDetection": {"consecutive5xxErrors": 5, "maxEjectionPercent": 50}}


def route(match: list[dict[str, Any]] | None = None, timeout: str = "", **retries: Any) -> list[dict[str, Any]]:
    found: dict[str, Any] = {"name": "all", "route": [to("v1")], "retries": retries}
    return [{**found, **({"timeout": timeout} if timeout else {}), **({"match": match} if match else {})}]


@pytest.mark.parametrize(
    ("text", "expected"), [("2s", 2.0), ("250ms", 0.25), ("1m30s", 90.0), ("1.5h", 5400.0), ("soon", None), ("2s!", None), (None, None)]
)
def test_durations_are_read_as_istio_writes_them(text: object, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("timeout", "each", "attempts", "expected"),
    [("2s", "1s", 3, True), ("3s", "1s", 3, False), ("", "1s", 3, False), ("2s", "", 3, False), ("2s", "1s", 0, False)],
)
def test_tries_that_do_not_fit_into_the_timeout_are_named(timeout: str, each: str, attempts: int, expected: bool) -> None:
    retries = {"attempts": attempts, **({"perTryTimeout": each} if each else {})}
    found = said(http=route(timeout=timeout, **retries), policy=DETECTION)
    assert found == [("RetriesExceedTimeout", "warning", "spec.http[0].retries")] * expected


@pytest.mark.parametrize(
    ("retry_on", "match", "expected"),
    [
        ("5xx", None, True),
        ("connect-failure,gateway-error", None, True),
        ("503", None, True),
        ("5xx", [{"method": {"exact": "POST"}}], True),
        ("5xx", [{"method": {"exact": "GET"}}, {"uri": {"prefix": "/x"}}], True),
        ("5xx", [{"method": {"exact": "GET"}}], False),
        ("connect-failure,refused-stream", None, False),
        ("429", None, False),
        ("", None, False),
    ],
)
def test_retries_that_may_repeat_writes_are_named(retry_on: str, match: list[dict[str, Any]] | None, expected: bool) -> None:
    retries = {"attempts": 2, **({"retryOn": retry_on} if retry_on else {})}
    found = said(http=route(match, **retries), policy=DETECTION)
    assert found == [("RetriesRepeatWrites", "warning", "spec.http[0].retries.retryOn")] * expected


def test_retries_without_outlier_detection_are_information() -> None:
    assert said(http=route(attempts=2)) == [("RetriesWithoutEjection", "info", "spec.http[0].retries")]
    assert said(http=route(attempts=2), policy=DETECTION) == []
    assert said(http=route(attempts=2), spec={"canaryTrafficPolicy": DETECTION}) == []
    assert said(http=route(attempts=0)) == []


PATH = "outlierDetection.maxEjectionPercent"


@pytest.mark.parametrize(("percent", "pods", "expected"), [(49, 2, True), (50, 2, False), (10, 9, True), (10, 10, False), (100, 1, False)])
def test_a_percentage_that_ejects_no_pod_of_the_canary_is_named(percent: int, pods: int, expected: bool) -> None:
    known = (pod("v1"), pod("v1", 2), *(pod("v2", n) for n in range(pods)))
    found = said(policy={"outlierDetection": {"maxEjectionPercent": percent}}, pods=known)
    assert [f for f in found if f[0] == "EjectsNoPod"] == [("EjectsNoPod", "warning", f"spec.trafficPolicy.{PATH}")] * expected


def test_envoy_s_default_is_ten_percent() -> None:
    assert said(policy={"outlierDetection": {}}) == [("EjectsNoPod", "warning", f"spec.trafficPolicy.{PATH}")]


def test_what_holds_for_the_canary_is_looked_at() -> None:
    weak = {"outlierDetection": {"maxEjectionPercent": 1}}
    assert said(policy=weak, spec={"canaryTrafficPolicy": DETECTION}) == []
    assert said(policy=DETECTION, spec={"canaryTrafficPolicy": weak}) == [("EjectsNoPod", "warning", f"spec.canaryTrafficPolicy.{PATH}")]
    subsets = [{"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": weak}, {"name": "v2", "labels": {"version": "v2"}}]
    assert said(subsets=subsets) == [], "stable's own policy is not the canary's"


def test_without_pods_nothing_is_known() -> None:
    scene = Scene(policy={"outlierDetection": {}}, pods=None)
    assert scene.findings() == ()
    assert any(line.startswith("EjectsNoPod:") for line in scene.skipped())
