"""Versions of a service from its pods and EndpointSlices. Pure reading of raw objects."""

from collections import defaultdict
from collections.abc import Iterable

from canaryrollout.core.snapshot import PodSeen, Raw, VersionPods
from canaryrollout.mesh.proxies import workload_of

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
            crashing=tuple(sorted(reason for pod in members for reason in _crashing(pod))),
        )
        for version, members in groups.items()
    }


def seen(pods: Iterable[Raw], slices: Iterable[Raw]) -> tuple[PodSeen, ...]:
    """Every pod that has not ended, with its labels; those about to go are left out."""
    ready = ready_pods(slices)
    return tuple(
        PodSeen(str(pod["metadata"]["name"]), pod["metadata"].get("labels") or {}, pod["metadata"]["name"] in ready)
        for pod in pods
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")
    )


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


def _failing(pod: Raw) -> list[str]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    waiting = [((status.get("state") or {}).get("waiting") or {}).get("reason") for status in statuses]
    return [f"{pod['metadata']['name']}: {reason}" for reason in waiting if reason in _FAILING]


def _crashing(pod: Raw) -> list[str]:
    """Containers that the kubelet starts again only after a pause, because they have ended again and again."""
    if pod["metadata"].get("deletionTimestamp"):
        return []
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    waiting = [(status, ((status.get("state") or {}).get("waiting") or {}).get("reason")) for status in statuses]
    return [
        f"{pod['metadata']['name']}: {status.get('name', '')} {reason} after {status.get('restartCount', 0)} restarts"
        for status, reason in waiting
        if reason == "CrashLoopBackOff"
    ]
