"""Bad input: a clear condition (a refusal by the API server where the schema can), and nothing touched in the mesh."""

from collections.abc import Callable
from typing import Any

import pytest
from arena import GROUP, ISTIO, Arena, install
from localmesh.kube import ApiError
from localmesh.mesh import Mesh

NETWORKING = "networking.istio.io/v1"


def virtual_service(place: Arena, name: str) -> dict[str, Any]:
    """A VirtualService that claims the host of reviews."""
    return {
        "apiVersion": NETWORKING,
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": place.namespace},
        "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]},
    }


def mesh_objects(place: Arena) -> list[dict[str, Any]]:
    """All VirtualServices and DestinationRules of the namespace."""
    return [
        item
        for kind in ("virtualservices", "destinationrules")
        for item in place.mesh.get(f"{ISTIO}/namespaces/{place.namespace}/{kind}")["items"]
    ]


def unknown_service(place: Arena) -> None:
    place.rollout("v1", service="reviewz")


def version_without_pods(place: Arena) -> None:
    place.rollout("v9", stableVersion="v9")


def two_virtual_services(place: Arena) -> None:
    place.mesh.apply(virtual_service(place, "one"), virtual_service(place, "two"))
    place.rollout("v1")


def two_versions_and_no_routes(place: Arena) -> None:
    place.deploy("v2")
    place.rollout("v2")


@pytest.mark.parametrize(
    ("given", "reason", "says"),
    [
        (unknown_service, "ServiceNotFound", "reviewz"),
        (version_without_pods, "StableNotReady", "v9"),
        (two_virtual_services, "DuplicateVirtualService", "one, two"),
        (two_versions_and_no_routes, "StableUnknown", "spec.stableVersion"),
    ],
)
def test_what_only_the_operator_can_see_is_named_in_the_conditions(
    place: Arena, given: Callable[[Arena], None], reason: str, says: str
) -> None:
    before: list[dict[str, Any]] = []
    if given is two_virtual_services:
        given(place)
        before = mesh_objects(place)
    else:
        before = mesh_objects(place)
        given(place)
    place.wait(lambda: place.condition("Stalled")["reason"] == reason, 30, reason)
    ready = place.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert says in ready["message"]
    place.wait(lambda: any(e["reason"] == reason and e["type"] == "Warning" for e in place.events()), 10, "the Event")
    assert mesh_objects(place) == before


def test_a_version_without_pods_does_not_start_and_says_what_is_missing(place: Arena) -> None:
    place.rollout("v1")
    place.wait_phase("Stable")
    before = mesh_objects(place)
    place.edit(version="v7")
    place.wait(lambda: place.condition("Stalled")["reason"] == "VersionWithoutPods", 30, "the reason")
    assert "version=v7" in place.condition("Ready")["message"]
    assert mesh_objects(place) == before
    place.deploy("v7")
    place.wait_phase("Shifting", "Analysing", timeout=60)


def test_of_two_for_one_service_the_older_wins(place: Arena) -> None:
    place.rollout("v1")
    place.wait_phase("Stable")
    place.rollout("v1", name="rival")
    place.wait(lambda: place.condition("Stalled", "rival")["reason"] == "ServiceClaimed", 30, "the reason")
    assert "'reviews'" in place.condition("Ready", "rival")["message"]
    place.mesh.delete(place.path())
    place.wait(lambda: place.condition("Ready", "rival")["status"] == "True", 60, "the rival takes over")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"steps": [{"weight": 20}, {"weight": 10}, {"weight": 100}]}, "rise from step to step"),
        ({"steps": [{"weight": 20}, {"weight": 120}]}, "less than or equal to 100"),
        ({"steps": [{"weight": 20}]}, "the last must be 100"),
        ({"analysis": {"maxErrorRate": "lots"}}, "maxErrorRate"),
        ({"analysis": {"maxP99Latency": "half a second"}}, "maxP99Latency"),
        ({"analysis": {"maxErrorRate": "140%"}}, "maxErrorRate"),
    ],
)
def test_what_the_schema_can_see_is_refused_by_the_api_server(mesh: Mesh, spec: dict[str, Any], says: str) -> None:
    install(mesh)
    rollout = {
        "apiVersion": "canaryrollout.io/v1beta1",
        "kind": "CanaryRollout",
        "metadata": {"name": "refused", "namespace": "default"},
        "spec": {"service": "reviews", "version": "v1", **spec},
    }
    with pytest.raises(ApiError, match="Invalid") as refusal:
        mesh.request("POST", f"{GROUP}/namespaces/default/canaryrollouts", rollout)
    assert says in str(refusal.value)
