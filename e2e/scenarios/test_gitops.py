"""Argo CD and Flux on the same objects, with and without the rules of docs/how-to/gitops.md, taken from the page itself."""

import copy
from typing import Any

import gitopskit
import yaml
from arena import Arena
from gitopskit import ArgoCD, Kustomization, managers, snippet

RULE, SERVICE = ("DestinationRule", "reviews"), ("VirtualService", "reviews")


def pasted(message: str) -> dict[str, Any]:
    """The YAML in the message of DriftConflict."""
    start = message.index("{", message.index("spec: {") if "spec: {" in message else message.index("metadata: {"))
    depth = 0
    for position, character in enumerate(message[start:], start):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return dict(yaml.safe_load(message[start : position + 1]))
    raise AssertionError(message)


def go_on(place: Arena, request: str) -> None:
    """After a conflict: resume where the rollout holds, retry where the tool left the canary's share without a subset."""
    place.wait_phase("Paused", "RolledBack", timeout=30)
    place.annotate(**{"resume" if place.phase() == "Paused" else "retry": request})


def unanswered(failures: list[Any]) -> bool:
    """Whether only requests failed that found no subset, and few: the tool took it away in the moment in which weights were written."""
    return {answer.version for answer in failures} <= {""} and len(failures) < 150


def test_argo_cd_with_the_rules_of_the_page_lets_a_rollout_through_and_later_commits_arrive(place: Arena, brief: dict[str, Any]) -> None:
    git = gitopskit.manifests(place.namespace)
    argo = ArgoCD(place.mesh, place.namespace, *git, spec=snippet("ignoreDifferences")["spec"])
    with argo.running(3.0):
        place.rollout("v1", **brief)
        place.wait_phase("Stable")
        with place.mesh.load(place.namespace, rps=80) as load:
            place.release("v2")
            assert place.wait_outcome("v2")["outcome"] == "Promoted"
            assert load.failures() == []
            assert not any(event["reason"] == "Drifted" for event in place.events())
            place.wait(lambda: "canaryrollout" not in managers(place.virtual_service()) | managers(place.destination_rule()), 30, "release")
            rule, service = copy.deepcopy(git)
            rule["spec"]["trafficPolicy"] = {"connectionPool": {"http": {"http1MaxPendingRequests": 99}}}
            service["metadata"]["labels"]["team"] = "films"
            argo.commit(RULE, rule)
            argo.commit(SERVICE, service)
            place.wait(lambda: place.destination_rule()["spec"].get("trafficPolicy") == rule["spec"]["trafficPolicy"], 30, "the commit")
            place.wait(lambda: place.virtual_service()["metadata"]["labels"]["team"] == "films", 30, "the commit")
            assert place.split() == {"v2": 100}
            assert load.failures() == []
        applied = argo.applied
        argo.sync()
        assert argo.applied == applied, "nothing differs any more"
        assert place.phase() == "Stable"


def test_argo_cd_without_the_rules_is_given_way_to_and_what_the_message_says_lets_the_rollout_go_on(
    place: Arena, brief: dict[str, Any]
) -> None:
    argo = ArgoCD(place.mesh, place.namespace, *gitopskit.manifests(place.namespace))
    with argo.running(3.0):
        place.rollout("v1", **brief)
        place.wait_phase("Stable")
        with place.mesh.load(place.namespace, rps=80) as load:
            place.release("v2")
            place.wait(lambda: place.condition("Stalled")["reason"] == "DriftConflict", 90, "DriftConflict")
            status = place.wait_phase("Paused", "RolledBack", timeout=30)
            assert place.condition("Stalled")["status"] == "True"
            assert status["message"].startswith("argocd-controller (Apply at ")
            held = status["phase"] == "Paused"
            place.wait(lambda: place.split() == {"v1": 100}, 30, "all traffic on stable")
            argo.sync()
            revision = place.virtual_service()["metadata"]["resourceVersion"]
            applied = argo.applied
            argo.sync()
            argo.sync()
            assert (argo.applied, place.virtual_service()["metadata"]["resourceVersion"]) == (applied, revision), "nobody fights any more"
            before = len(load.failures())
            assert load.failures() == [] or unanswered(load.failures())
            argo.spec = pasted(status["message"])
            go_on(place, "rules added")
            place.wait(lambda: place.status()["stableVersion"] == "v2", 120, "the promotion")
            assert place.split() == {"v2": 100}
            assert len(load.failures()) == before, "with the rules nothing fails"
    assert held or place.status()["history"][-1]["reason"] == "DriftConflict"
    told = [event["note"] for event in place.events() if event["reason"] == "Drifted"]
    assert 1 <= len(told) <= 7
    assert all(note.startswith("argocd-controller (Apply at ") for note in told)


def test_flux_with_the_annotation_of_the_page_lets_a_rollout_through(place: Arena, brief: dict[str, Any]) -> None:
    git = gitopskit.manifests(place.namespace)
    for item in git:
        item["metadata"] |= snippet(Kustomization.SSA)["metadata"]
    flux = Kustomization(place.mesh, place.namespace, *git)
    with flux.running(3.0):
        place.rollout("v1", **brief)
        place.wait_phase("Stable")
        with place.mesh.load(place.namespace, rps=80) as load:
            place.release("v2")
            assert place.wait_outcome("v2")["outcome"] == "Promoted"
            assert load.failures() == []
    assert (flux.applied, place.split()) == (2, {"v2": 100})
    assert place.virtual_service()["spec"]["http"][0]["timeout"] == "9s"


def test_flux_with_merge_sets_lists_back_and_the_message_names_the_annotation(place: Arena, brief: dict[str, Any]) -> None:
    git = gitopskit.manifests(place.namespace)
    for item in git:
        item["metadata"]["annotations"] = {Kustomization.SSA: "Merge"}
    flux = Kustomization(place.mesh, place.namespace, *git)
    with flux.running(3.0):
        place.rollout("v1", **brief)
        place.wait_phase("Stable")
        with place.mesh.load(place.namespace, rps=80) as load:
            place.release("v2")
            place.wait(lambda: place.condition("Stalled")["reason"] == "DriftConflict", 90, "DriftConflict")
            message = place.status()["message"]
            assert message.startswith("kustomize-controller (Apply at ")
            for key, item in ((RULE, git[0]), (SERVICE, git[1])):
                annotated = copy.deepcopy(item)
                annotated["metadata"] |= pasted(message)
                flux.commit(key, annotated)
            go_on(place, "annotated")
            place.wait(lambda: place.status()["stableVersion"] == "v2", 120, "the promotion")
            assert load.failures() == [] or unanswered(load.failures())
