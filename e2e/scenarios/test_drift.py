"""Foreign changes of weights and subsets on the real mesh: undone, told with their author, or left to people who mean them."""

from typing import Any

from arena import ISTIO, Arena, arena
from localmesh.mesh import Mesh


def shift(place: Arena, manager: str, **weights: int) -> None:
    """As `kubectl edit` does."""
    route = [{"destination": {"host": "reviews", "subset": subset}, "weight": weight} for subset, weight in weights.items()]
    path = f"{ISTIO}/namespaces/{place.namespace}/virtualservices/reviews?fieldManager={manager}"
    operations = [{"op": "replace", "path": "/spec/http/0/route", "value": route}]
    place.mesh.request("PATCH", path, operations, "application/json-patch+json")


def drifts(place: Arena) -> list[str]:
    return [event["note"] for event in place.events() if event["reason"] == "Drifted"]


def test_weights_edited_in_mid_step_are_put_right_and_the_editor_is_named(place: Arena, brief: dict[str, Any]) -> None:
    place.rollout("v1", **brief)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2")
        place.wait_phase("Analysing")
        shift(place, "kubectl-edit", v1=20, v2=80)
        place.wait(lambda: place.split() == {"v1": 75, "v2": 25}, 30, "the step's weights")
        assert place.wait_outcome("v2")["outcome"] == "Promoted"
        assert load.failures() == []
    assert len(drifts(place)) == 1
    assert drifts(place)[0].startswith("kubectl-edit (Update at ")


def test_what_somebody_sends_to_the_canary_before_its_first_step_is_taken_back(mesh: Mesh, brief: dict[str, Any]) -> None:
    prometheus = mesh.new_prometheus("preparing")
    try:
        with arena(mesh, flags={"prometheus-url": prometheus.url}) as place:
            place.rollout("v1", **brief)
            place.wait_phase("Stable")
            prometheus.stop()  # without its answer the first step does not begin
            with mesh.load(place.namespace, rps=80) as load:
                place.release("v2")
                place.wait_phase("Preparing")
                place.wait(lambda: place.condition("ProxiesSynced")["status"] == "True", 30, "the canary's clusters in all proxies")
                shift(place, "kubectl-edit", v1=50, v2=50)
                place.wait(lambda: place.split() == {"v1": 100}, 30, "stable's weight")
                assert place.phase() == "Preparing"
                place.wait(lambda: drifts(place), 30, "the Event")
                assert drifts(place)[0].startswith("kubectl-edit (Update at ")
                prometheus.start()
                assert place.wait_outcome("v2")["outcome"] == "Promoted"
                assert load.failures() == []
    finally:
        prometheus.stop()


def test_routes_reset_at_rest_go_back_to_stable(place: Arena, brief: dict[str, Any]) -> None:
    place.rollout("v1", **brief)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2")
        assert place.wait_outcome("v2")["outcome"] == "Promoted"
        path = f"{ISTIO}/namespaces/{place.namespace}/virtualservices/reviews?fieldManager=kubectl-replace"
        plain = [{"op": "replace", "path": "/spec/http/0/route", "value": [{"destination": {"host": "reviews"}}]}]
        place.mesh.request("PATCH", path, plain, "application/json-patch+json")
        place.wait(lambda: place.split() == {"v2": 100}, 30, "stable's subset")
        place.wait(lambda: place.phase() == "Stable" and place.condition("Ready")["status"] == "True", 30, "rest")
        assert load.failures() == []
    assert drifts(place)[0].startswith("kubectl-replace (Update at ")


def test_people_who_take_over_are_left_alone_until_they_give_it_back(place: Arena, brief: dict[str, Any]) -> None:
    place.rollout("v1", **brief)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2", error_rate=0.3)
        place.wait_phase("Shifting", "Analysing")
        place.annotate(takeover="incident 4711")
        place.wait_phase("Paused", timeout=30)
        assert "incident 4711" in place.status()["message"]
        shift(place, "kubectl-edit", v1=50, v2=50)
        place.wait(lambda: place.condition("Analysis")["status"] == "False", 60, "the failures to be told")
        assert (place.phase(), place.split()) == ("Paused", {"v1": 50, "v2": 50})
        place.annotate(takeover="false")
        assert place.wait_outcome("v2")["outcome"] == "RolledBack"
        assert place.split() == {"v1": 100}
        assert {answer.version for answer in load.failures()} <= {"v2"}


def test_a_configured_manager_takes_over_by_its_first_change(mesh: Mesh, brief: dict[str, Any]) -> None:
    with arena(mesh, flags={"takeover-managers": "kubectl-edit"}) as place:
        place.rollout("v1", **brief)
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=80) as load:
            place.release("v2")
            place.wait_phase("Analysing")
            shift(place, "kubectl-edit", v1=60, v2=40)
            place.wait_phase("Paused", timeout=30)
            assert place.condition("Ready")["reason"] == "TakenOver"
            assert place.split() == {"v1": 60, "v2": 40}
            place.annotate(resume="done")
            assert place.wait_outcome("v2")["outcome"] == "Promoted"
            assert load.failures() == []
