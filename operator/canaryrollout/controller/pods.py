"""Versions of a service from its pods and EndpointSlices. Pure reading of raw objects."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from canaryrollout.core.snapshot import Raw, VersionPods

_FAILING = frozenset({"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"})


def versions(pods: Iterable[Raw], slices: Iterable[Raw], version_label: str) -> dict[str, VersionPods]:
    """The pods of each version. Ready means: an endpoint of the Service that is ready and not terminating."""
    ready = ready_pods(slices)
    groups: dict[str, list[Raw]] = defaultdict(list)
    for pod in pods:
        version = (pod["metadata"].get("labels") or {}).get(version_label)
        if version and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            groups[version].append(pod)
    return {
        version: VersionPods(
            total=sum(1 for pod in members if not pod["metadata"].get("deletionTimestamp")),
            ready=sum(1 for pod in members if pod["metadata"]["name"] in ready),
            workloads=tuple(sorted({workload_of(pod) for pod in members})),
            failing=tuple(sorted(reason for pod in members for reason in _failing(pod))),
        )
        for version, members in groups.items()
    }


def ready_pods(slices: Iterable[Raw]) -> set[str]:
    """Names of the pods that the Service sends traffic to."""
    names = set()
    for endpoint_slice in slices:
        for endpoint in endpoint_slice.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            target = endpoint.get("targetRef") or {}
            if conditions.get("ready") and not conditions.get("terminating") and target.get("kind") == "Pod":
                names.add(target["name"])
    return names


def workload_of(pod: Raw) -> str:
    """The workload as Istio's metrics name it: a Deployment for its ReplicaSet's pods, else the controller, else the pod."""
    metadata: Mapping[str, Any] = pod["metadata"]
    owner = next((o for o in metadata.get("ownerReferences") or [] if o.get("controller")), None)
    if owner is None:
        return str(metadata["name"])
    digest = (metadata.get("labels") or {}).get("pod-template-hash")
    name = str(owner["name"])
    return name.removesuffix(f"-{digest}") if owner.get("kind") == "ReplicaSet" and digest else name


def _failing(pod: Raw) -> list[str]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    waiting = [((status.get("state") or {}).get("waiting") or {}).get("reason") for status in statuses]
    return [f"{pod['metadata']['name']}: {reason}" for reason in waiting if reason in _FAILING]
