"""The pods that carry a proxy, read from the API server: whom to expect, whatever istiod lists."""

import re
from collections.abc import Mapping
from typing import Any

from canaryrollout.api.quantities import parse_time
from canaryrollout.core.sync import MeshPod
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.resources import PODS

PROXY_CONTAINER = "istio-proxy"
INJECTED = "sidecar.istio.io/status"

_OF_REPLICASET = re.compile(r"(.+)-[a-z0-9]{1,10}-[a-z0-9]{5}")

Object = Mapping[str, Any]


async def running_proxies(kube: KubeClient, namespaces: tuple[str, ...]) -> list[MeshPod]:
    """Running pods with a proxy in the namespaces (empty: all). Raises ApiError."""
    found = []
    for namespace in namespaces or (None,):
        async for pod in kube.pages(PODS, namespace, field_selector="status.phase=Running"):
            if has_proxy(pod):
                metadata = pod["metadata"]
                found.append(MeshPod(metadata["name"], metadata["namespace"], workload_of(pod), may_serve(pod)))
    return found


def has_proxy(pod: Object) -> bool:
    """Whether the injector gave it a sidecar (a container, or a native sidecar among the init containers), or it is a gateway."""
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    return any(c.get("name") == PROXY_CONTAINER for c in containers) or INJECTED in (pod["metadata"].get("annotations") or {})


def workload_of(pod: Object) -> str:
    """The workload as Istio names it: a Deployment for its ReplicaSet's pods, else the controller, else the pod."""
    metadata = pod["metadata"]
    owner = next((o for o in metadata.get("ownerReferences") or [] if o.get("controller")), None)
    if owner is None:
        return str(metadata["name"])
    digest = (metadata.get("labels") or {}).get("pod-template-hash")
    name = str(owner["name"])
    return name.removesuffix(f"-{digest}") if owner.get("kind") == "ReplicaSet" and digest else name


def guessed_scope(proxy: str) -> str:
    """ "NAMESPACE/WORKLOAD" of a connected proxy whose pod is not visible, by the way Deployments name pods."""
    name, _, namespace = proxy.rpartition(".")
    match = _OF_REPLICASET.fullmatch(name)
    return f"{namespace}/{match[1] if match else name}"


def is_ready(pod: Object) -> bool:
    """Whether its Ready condition is true."""
    return (_ready_condition(pod) or {}).get("status") == "True"


def may_serve(pod: Object) -> bool:
    """Whether its proxy may carry traffic with a configuration it once got, though no istiod lists it.

    Envoy keeps no configuration across restarts and is not ready without one. So a pod that was not ready since its proxy
    started has none; nor counts one that is being deleted and not ready any more: it gets no new requests.
    """
    if is_ready(pod):
        return True
    if pod["metadata"].get("deletionTimestamp"):
        return False
    started = _proxy_started(pod)
    changed = (_ready_condition(pod) or {}).get("lastTransitionTime")
    return started is not None and changed is not None and parse_time(changed) > parse_time(started)


def _ready_condition(pod: Object) -> Object | None:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == "Ready"), None)


def _proxy_started(pod: Object) -> str | None:
    """When the proxy's container began to run; None while it does not run."""
    status = pod.get("status") or {}
    containers = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    running = [((c.get("state") or {}).get("running") or {}).get("startedAt") for c in containers if c.get("name") == PROXY_CONTAINER]
    return next((started for started in running if started), None)
