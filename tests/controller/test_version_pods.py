"""Versions of a Service, read off its pods and EndpointSlices."""

from typing import Any

import pytest
from canaryrollout.controller.pods import ready_pods, versions
from canaryrollout.mesh.proxies import workload_of
from memory_api import endpoint_slice, pod


def test_pods_are_told_apart_by_the_label_and_ready_only_as_endpoints() -> None:
    pods = [pod("a", "v1"), pod("b", "v1"), pod("c", "v2"), pod("d", None)]
    found = versions(pods, [endpoint_slice("a", "c"), endpoint_slice("a", name="reviews-ipv6")], "version")
    assert {version: (seen.total, seen.ready, seen.workloads) for version, seen in found.items()} == {
        "v1": (2, 1, ("reviews-v1",)),
        "v2": (1, 1, ("reviews-v2",)),
    }


@pytest.mark.parametrize(
    ("conditions", "ready"), [({}, 1), ({"ready": False}, 0), ({"terminating": True}, 0), ({"ready": True, "serving": True}, 1)]
)
def test_an_endpoint_that_ends_or_is_not_ready_takes_no_traffic(conditions: dict[str, bool], ready: int) -> None:
    assert versions([pod("a", "v1")], [endpoint_slice("a", **conditions)], "version")["v1"].ready == ready


def test_a_pod_that_is_deleted_still_answers_but_is_not_counted_on() -> None:
    found = versions([pod("a", "v1", deletionTimestamp="2024-01-01T00:00:00Z")], [endpoint_slice("a")], "version")
    assert (found["v1"].total, found["v1"].ready) == (0, 1)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_pods_that_have_ended_are_no_version(phase: str) -> None:
    ended = pod("a", "v1")
    ended["status"]["phase"] = phase
    assert versions([ended], [], "version") == {}


def test_pods_that_cannot_start_say_why() -> None:
    failing = pod("a", "v1")
    failing["status"]["containerStatuses"] = [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}, {"state": {"running": {}}}]
    starting = pod("b", "v1")
    starting["status"]["containerStatuses"] = [{"state": {"waiting": {"reason": "ContainerCreating"}}}]
    assert versions([failing, starting], [], "version")["v1"].failing == ("a: CrashLoopBackOff",)


@pytest.mark.parametrize("empty", [{}, {"endpoints": None}, {"endpoints": [{}]}, {"endpoints": [{"conditions": {"ready": True}}]}])
def test_slices_without_pods_have_none(empty: dict[str, Any]) -> None:
    assert ready_pods([empty]) == set()


@pytest.mark.parametrize(
    ("owner", "labels", "workload"),
    [
        ({"kind": "ReplicaSet", "name": "reviews-v1-5d4f"}, {"pod-template-hash": "5d4f"}, "reviews-v1"),
        ({"kind": "ReplicaSet", "name": "by-hand"}, {}, "by-hand"),
        ({"kind": "StatefulSet", "name": "reviews-v1"}, {}, "reviews-v1"),
        (None, {}, "lone"),
    ],
)
def test_a_pods_workload_is_named_as_istio_reports_it(owner: dict[str, Any] | None, labels: dict[str, str], workload: str) -> None:
    metadata: dict[str, Any] = {"name": "lone", "labels": labels}
    if owner:
        metadata["ownerReferences"] = [{"kind": "Node", "name": "other"}, {**owner, "controller": True}]
    assert workload_of({"metadata": metadata}) == workload
