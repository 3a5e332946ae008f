"""Single pods of the canary in trouble while others of it serve."""

from typing import Any

from arena import Arena
from localmesh import sample


def restarts(place: Arena, pod: str) -> int:
    """How often the workload of a pod has been started again; -1 while it does not run."""
    statuses = place.mesh.get(f"/api/v1/namespaces/{place.namespace}/pods/{pod}")["status"]["containerStatuses"]
    found = next(status for status in statuses if status["name"] == "reviews")
    return int(found["restartCount"]) if "running" in found["state"] else -1


def test_a_canary_of_which_one_pod_crashes_again_and_again_is_rolled_back(place: Arena) -> None:
    place.rollout("v1", steps=[{"weight": 5}, {"weight": 100}])
    place.wait_phase("Stable")
    # So little traffic that the errors themselves prove nothing.
    with place.mesh.load(place.namespace, rps=10):
        place.release("v2", replicas=3)
        place.wait_phase("Analysing")
        pod = str(place.mesh.pods(place.namespace, app="reviews", version="v2")[0]["metadata"]["name"])
        for crashes in range(4):
            place.wait(lambda seen=crashes: place.phase() != "Analysing" or restarts(place, pod) == seen, 60, "the pod to run")
            if place.phase() == "Analysing":
                place.mesh.part(f"pod/{place.namespace}/{pod}/reviews").kill()
        entry = place.wait_outcome("v2", 60)
    assert (entry["outcome"], entry["reason"], entry["weight"]) == ("RolledBack", "CanaryCrashing", 5)
    assert pod in entry["message"]


def test_a_step_does_not_pass_while_a_pod_of_the_canary_is_not_ready(place: Arena, brief: dict[str, Any]) -> None:
    place.rollout("v1", **brief)
    place.wait_phase("Stable")
    with place.mesh.load(place.namespace, rps=60) as load:
        place.deploy("v2")
        place.mesh.apply(straggler(place, "straggler"))
        place.edit(version="v2")
        place.wait(lambda: place.condition("Analysis")["reason"] == "CanaryPodsUnready", 60, "the reason")
        begun = load.versions()["v2"]
        place.mesh.wait(lambda: load.versions()["v2"] > begun + 200, 60, "far more requests than the step needs")
        assert (place.phase(), place.split()) == ("Analysing", {"v1": 75, "v2": 25})
        assert "1 of 2 canary pods" in place.condition("Analysis")["message"]
        place.mesh.delete(f"/api/v1/namespaces/{place.namespace}/pods/straggler")
        assert place.wait_outcome("v2", 150)["outcome"] == "Promoted"
        assert load.failures() == []


def straggler(place: Arena, name: str) -> dict[str, Any]:
    """A pod of reviews v2 that never gets ready."""
    template = sample.reviews(place.namespace, "v2", answers_probes=False)[0]["spec"]["template"]
    metadata = {**template["metadata"], "name": name, "namespace": place.namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
