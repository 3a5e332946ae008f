"""Data with holes: pods that are not scraped, counters that start anew, pods that are gone, requests that reach no pod."""

import time
from typing import Any

import pytest
from arena import ISTIO, Arena

HELD_SECONDS = 12.0
"""More than two polls and two scrapes."""


@pytest.fixture
def held(brief: dict[str, Any]) -> dict[str, Any]:
    """As `brief`, but the first step asks for more requests than it will see, until `let_go`."""
    return {**brief, "analysis": {**brief["analysis"], "minRequests": 100_000}}


def let_go(place: Arena) -> None:
    """From now on the requests seen so far are enough."""
    place.edit(analysis={"minRequests": 20})


def assert_held(place: Arena, reason: str) -> None:
    """The first step does not pass, and the condition says why."""
    place.wait(lambda: place.condition("Analysis")["reason"] == reason, 60, f"the reason {reason}")
    end = time.monotonic() + HELD_SECONDS
    while time.monotonic() < end:
        assert (place.phase(), place.split()) == ("Analysing", {"v1": 75, "v2": 25})
        time.sleep(0.5)


def canary_pods(place: Arena) -> list[str]:
    """Names of the canary's pods."""
    return [str(pod["metadata"]["name"]) for pod in place.mesh.pods(place.namespace, app="reviews", version="v2")]


def ready_canary_pods(place: Arena) -> int:
    """How many of the canary's pods are ready and stay; the Deployment's own count is a moment behind."""
    pods = place.mesh.pods(place.namespace, app="reviews", version="v2")
    conditions = [{c["type"]: c["status"] for c in pod["status"].get("conditions", [])} for pod in pods]
    return sum(found.get("Ready") == "True" for found in conditions)


def test_a_step_waits_for_the_one_of_three_pods_that_is_not_scraped(place: Arena, brief: dict[str, Any]) -> None:
    place.rollout("v1", **brief)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=60) as load:
        place.deploy("v2", replicas=3)
        hidden = canary_pods(place)[0]
        place.mesh.scrape(place.namespace, hidden, wanted=False)
        place.edit(version="v2")
        place.wait_phase("Analysing")
        place.mesh.wait(lambda: load.versions()["v2"] > 200, 60, "far more requests than the step needs")
        assert_held(place, "PodNotScraped")
        assert "2 of 3 pods" in place.condition("Analysis")["message"]
        place.mesh.scrape(place.namespace, hidden, wanted=True)
        assert place.wait_outcome("v2", 150)["outcome"] == "Promoted"
        assert load.failures() == []


def test_counters_that_start_anew_in_mid_step_bring_no_false_verdict(place: Arena, held: dict[str, Any]) -> None:
    place.rollout("v1", **held)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=60) as load:
        place.release("v2", replicas=3)
        place.wait_phase("Analysing")
        place.mesh.wait(lambda: evidence(place, "source") > 60, 60, "evidence")
        before = evidence(place, "destination")
        # A crash takes the answers of a moment with it; a client proxy's counters start anew without one.
        place.mesh.envoy(place.namespace, canary_pods(place)[0]).kill()
        place.mesh.envoy(place.namespace, place.pod("productpage")).admin("/reset_counters", "POST")
        place.wait(lambda: evidence(place, "destination") > before + 150, 60, "more evidence")
        for reporter in ("source", "destination"):
            assert evidence(place, reporter) <= load.versions()["v2"]
        let_go(place)
        assert place.wait_outcome("v2", 150)["outcome"] == "Promoted"


def evidence(place: Arena, reporter: str) -> float:
    """Canary requests counted so far."""
    rollout = place.status().get("rollout") or {}
    return float((rollout.get("evidence") or {}).get(reporter, {}).get("canary", {}).get("total", 0.0))


def test_no_step_passes_on_what_pods_have_counted_that_are_gone(place: Arena, held: dict[str, Any]) -> None:
    place.rollout("v1", **held)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=60) as load:
        place.release("v2", replicas=2)
        place.wait_phase("Analysing")
        place.mesh.wait(lambda: evidence(place, "destination") > 200, 60, "more evidence than the step needs")
        load.set_rate(0)
        for pod in canary_pods(place):
            place.mesh.delete(f"/api/v1/namespaces/{place.namespace}/pods/{pod}")
            place.mesh.wait(lambda: ready_canary_pods(place) == 2, 60, "another pod")
            place.mesh.wait_ready(place.namespace)
        place.wait(lambda: place.condition("Analysis")["reason"] == "PodNotScraped", 60, "the old pods to be forgotten")
        let_go(place)
        assert_held(place, "PodNotScraped")
        load.set_rate(60)
        assert place.wait_outcome("v2", 150)["outcome"] == "Promoted"


def test_requests_that_overflow_before_any_pod_sees_them_count_against_the_canary(place: Arena, brief: dict[str, Any]) -> None:
    narrow = {"connectionPool": {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1}}}
    place.rollout("v1", **brief, canaryTrafficPolicy=narrow)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=60) as load:
        place.release("v2", latency_ms=200)
        entry = place.wait_outcome("v2", 90)
        assert (entry["outcome"], entry["reason"]) == ("RolledBack", "ErrorRate")
        assert "without reaching a pod" in entry["message"]
        assert {answer.status for answer in load.failures()} == {503}


def test_a_subset_deleted_while_the_operator_was_down_is_charged_to_the_canary(place: Arena, held: dict[str, Any]) -> None:
    place.rollout("v1", **held)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=60) as load:
        place.release("v2")
        place.wait_phase("Analysing")
        place.mesh.wait(lambda: evidence(place, "source") > 60, 60, "evidence")
        place.operator.kill()
        rule = place.destination_rule()
        rule["spec"]["subsets"] = [subset for subset in rule["spec"]["subsets"] if subset["name"] != "v2"]
        place.mesh.request("PUT", f"{ISTIO}/namespaces/{place.namespace}/destinationrules/reviews", rule)
        # Some 20 s of them: several whole slices, for the operator that comes back mends the subset at once.
        lost = f'sum(istio_requests_total{{response_flags="NC",namespace="{place.namespace}"}})'
        place.mesh.wait(lambda: [r for r in place.mesh.query(lost) if float(r["value"][1]) > 300], 60, "lost requests")
        place.operator.start()
        entry = place.wait_outcome("v2", 90)
        assert (entry["outcome"], entry["reason"]) == ("RolledBack", "ErrorRate")
        assert "without reaching a pod" in entry["message"]
        place.mesh.wait(lambda: len(load.answers(since=time.time() - 1)) > 40)
    assert place.split() == {"v1": 100}
