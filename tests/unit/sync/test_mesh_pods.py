"""Which pods have a proxy that may be carrying traffic."""

from typing import Any

import pytest
from canaryrollout.mesh.proxies import guessed_scope, has_proxy, may_serve, workload_of

START = "2026-11-21T00:00:10Z"


def pod(
    *, ready: str = "True", changed: str = START, deleted: bool = False, started: str | None = START, native: bool = False
) -> dict[str, Any]:
    status = {"name": "istio-proxy", "state": {"running": {"startedAt": started}} if started else {"waiting": {}}}
    metadata: dict[str, Any] = {"name": "client-5d4f8c7b9-abcde", "namespace": "shop", "labels": {"pod-template-hash": "5d4f8c7b9"}}
    if deleted:
        metadata["deletionTimestamp"] = START
    return {
        "metadata": metadata,
        "spec": {"initContainers" if native else "containers": [{"name": "istio-proxy"}]},
        "status": {
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": changed}],
            "initContainerStatuses" if native else "containerStatuses": [status],
        },
    }


LATER, BEFORE = "2026-11-21T00:05:00Z", "2026-11-21T00:00:05Z"


@pytest.mark.parametrize(
    ("given", "serves"),
    [
        (pod(), True),
        (pod(deleted=True), True),
        (pod(ready="False", changed=BEFORE), False),
        (pod(ready="False", changed=START), False),
        (pod(ready="False", changed=LATER), True),
        (pod(ready="False", changed=LATER, native=True), True),
        (pod(ready="False", changed=LATER, deleted=True), False),
        (pod(ready="False", changed=LATER, started=None), False),
    ],
    ids=[
        "ready",
        "terminating and still ready",
        "not ready since before its proxy started",
        "not ready since its proxy started",
        "was ready, is not any more",
        "the same with a native sidecar",
        "terminating and not ready any more",
        "its proxy does not run",
    ],
)
def test_a_pod_that_was_ready_since_its_proxy_started_may_serve(given: dict[str, Any], serves: bool) -> None:
    assert may_serve(given) is serves


def test_proxies_are_found_in_sidecars_native_sidecars_and_gateways() -> None:
    assert has_proxy(pod())
    assert has_proxy(pod(native=True))
    assert has_proxy({"metadata": {"annotations": {"sidecar.istio.io/status": "{}"}}, "spec": {"containers": [{"name": "app"}]}})
    assert not has_proxy({"metadata": {}, "spec": {"containers": [{"name": "app"}]}})


@pytest.mark.parametrize(
    ("owner", "workload"),
    [
        ({"kind": "ReplicaSet", "name": "client-5d4f8c7b9", "controller": True}, "client"),
        ({"kind": "StatefulSet", "name": "db", "controller": True}, "db"),
        ({"kind": "ReplicaSet", "name": "client-5d4f8c7b9"}, "client-5d4f8c7b9-abcde"),
    ],
)
def test_workloads_are_named_as_istio_names_them(owner: dict[str, Any], workload: str) -> None:
    given = pod()
    given["metadata"]["ownerReferences"] = [owner]
    assert workload_of(given) == workload


def test_the_scope_of_a_proxy_without_a_visible_pod_is_guessed_from_its_name() -> None:
    assert guessed_scope("client-5d4f8c7b9-abcde.shop") == "shop/client"
    assert guessed_scope("db-0.shop") == "shop/db-0"
