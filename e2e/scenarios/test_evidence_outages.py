"""No data is never a pass: Prometheus away, no traffic at all, a canary without endpoints."""

import time
from typing import Any

from arena import Arena, arena, seconds
from localmesh.mesh import Mesh

OUTAGE_SECONDS = 60.0


def test_prometheus_away_for_a_minute_freezes_the_weights_and_the_rollout_goes_on_after(mesh: Mesh, quick: dict[str, Any]) -> None:
    prometheus = mesh.new_prometheus("outage")
    try:
        with arena(mesh, "outage", flags={"prometheus-url": prometheus.url}) as place:
            place.rollout("v1", **quick)
            place.wait_phase("Stable")
            with mesh.load(place.namespace, rps=60) as load:
                place.release("v2")
                place.wait_phase("Analysing")
                frozen = place.split()
                prometheus.stop()
                place.wait(lambda: place.condition("Analysis")["reason"].startswith("Prometheus"), 30, "the outage in the condition")
                assert place.condition("Analysis")["status"] == "Unknown"
                end = time.monotonic() + OUTAGE_SECONDS
                while time.monotonic() < end:
                    assert (place.split(), place.phase()) == (frozen, "Analysing")
                    time.sleep(1)
                prometheus.start()
                assert place.wait_outcome("v2", 180)["outcome"] == "Promoted"
                assert load.failures() == []
    finally:
        prometheus.stop()


def test_without_any_traffic_a_step_is_inconclusive_and_pauses(place: Arena, quick: dict[str, Any]) -> None:
    quick["analysis"]["maxDuration"] = "15s"
    place.rollout("v1", **quick)
    place.wait_phase("Stable")
    place.release("v2")
    status = place.wait_phase("Paused", timeout=90)
    assert place.split() == {"v1": 75, "v2": 25}
    assert "no verdict within 15s" in status["message"]
    assert "no requests" in status["message"]
    with place.mesh.load(place.namespace, rps=60):
        place.edit(analysis={"maxDuration": "30m"})
        place.annotate(resume="there is traffic now")
        assert place.wait_outcome("v2", 180)["outcome"] == "Promoted"


def test_a_canary_whose_endpoints_vanish_loses_its_weight_at_once(place: Arena, quick: dict[str, Any]) -> None:
    place.rollout("v1", **quick)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=40) as load:
        place.release("v2")
        place.wait_phase("Analysing")
        place.mesh.scale(place.namespace, "reviews-v2", 0)
        entry = place.wait_outcome("v2", 60)
        assert (entry["outcome"], entry["reason"]) == ("RolledBack", "CanaryWithoutEndpoints")
        back = seconds(entry["endedAt"])
        place.mesh.wait(lambda: len(load.answers(since=back)) > 40)
        assert load.failures(since=back) == []
    assert place.split() == {"v1": 100}


def test_a_canary_without_ready_endpoints_never_gets_weight(place: Arena, quick: dict[str, Any]) -> None:
    place.rollout("v1", **quick)
    place.wait_phase("Stable")
    before = place.virtual_service()
    place.deploy("v2", ready=False, answers_probes=False)
    place.edit(version="v2")
    place.wait(lambda: place.condition("Stalled")["reason"] == "CanaryNotReady", 30, "the reason")
    assert place.virtual_service() == before
