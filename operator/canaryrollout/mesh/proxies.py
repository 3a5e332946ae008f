"""The pods that carry a proxy, read from the API server: whom to expect, whatever istiod lists."""

from collections.abc import Mapping
from typing import Any

from canaryrollout.core.sync import MeshPod
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.resources import PODS

PROXY_CONTAINER = "istio-proxy"
INJECTED = "sidecar.istio.io/status"


async def running_proxies(kube: KubeClient, namespaces: tuple[str, ...]) -> list[MeshPod]:
    """Running pods with a proxy in the namespaces (empty: all). Raises ApiError."""
    found = []
    for namespace in namespaces or (None,):
        for pod in await kube.list(PODS, namespace, field_selector="status.phase=Running"):
            if has_proxy(pod):
                found.append(MeshPod(pod["metadata"]["name"], pod["metadata"]["namespace"], workload_of(pod), _ready(pod)))
    return found


def has_proxy(pod: Mapping[str, Any]) -> bool:
    """Whether the injector gave it a sidecar (a container, or a native sidecar among the init containers), or it is a gateway."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    return any(c.get("name") == PROXY_CONTAINER for c in containers) or INJECTED in (pod["metadata"].get("annotations") or {})


def workload_of(pod: Mapping[str, Any]) -> str:
    """The workload as Istio names it: a Deployment for its ReplicaSet's pods, else the controller, else the pod."""
    metadata = pod["metadata"]
    owner = next((o for o in metadata.get("ownerReferences") or [] if o.get("controller")), None)
    if owner is None:
        return str(metadata["name"])
    digest = (metadata.get("labels") or {}).get("pod-template-hash")
    name = str(owner["name"])
    return name.removesuffix(f"-{digest}") if owner.get("kind") == "ReplicaSet" and digest else name


def _ready(pod: Mapping[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in (pod.get("status") or {}).get("conditions") or [])
