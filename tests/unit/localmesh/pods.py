"""Pods for the tests of the process kubelet."""

from typing import Any


def pod(*containers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A pod of the Deployment reviews-v1 in the namespace shop; `changes` go into its metadata."""
    metadata = {
        "name": "reviews-v1-abc-xyz",
        "namespace": "shop",
        "uid": "u1",
        "labels": {"app": "reviews", "version": "v1", "pod-template-hash": "abc"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "reviews-v1-abc", "controller": True}],
    }
    spec = {"containers": list(containers), "nodeName": "local", "serviceAccountName": "reviews"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | changes, "spec": spec}


WORKLOAD: dict[str, Any] = {
    "name": "reviews",
    "image": "localmesh/workload:v1",
    "ports": [{"name": "http", "containerPort": 9080}],
}
PROXY: dict[str, Any] = {"name": "istio-proxy", "image": "localmesh/proxy"}
GATEWAY = {"annotations": {"inject.istio.io/templates": "gateway"}}
