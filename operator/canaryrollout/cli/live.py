"""Reading what `plan` looks at from a cluster, with the user's own rights, and files laid over it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from canaryrollout.api.status import CanaryRolloutStatus
from canaryrollout.cli.offline import WORKLOADS, Files, workload_versions
from canaryrollout.controller.cluster import ClusterReader
from canaryrollout.controller.subject import Subject, parse
from canaryrollout.controller.surroundings import SurroundingsReader
from canaryrollout.core.snapshot import MeshObjects, Raw, Snapshot, VersionPods
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.resources import CANARYROLLOUTS

Object = dict[str, Any]

NEW = "9999-12-31T23:59:59Z"
"""When an object that does not exist yet was created: every other one is older."""


class NotFoundError(Exception):
    """There is no such CanaryRollout."""


class UnusableError(Exception):
    """The CanaryRollout cannot be read; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a live plan is made of."""

    subject: Subject
    snapshot: Snapshot
    not_checked: tuple[str, ...]
    coming: dict[str, VersionPods]


async def look(kube: KubeClient, namespace: str, name: str) -> Seen:
    """A CanaryRollout that is in the cluster. Raises NotFoundError, UnusableError, ApiError."""
    raw = await kube.get(CANARYROLLOUTS, namespace, name)
    if raw is None:
        raise NotFoundError(f"there is no CanaryRollout {name} in namespace {namespace}")
    return await _seen(kube, parse(raw), None)


async def look_with(kube: KubeClient, files: Files) -> Seen:
    """The CanaryRollout of files, as if they were applied now. Raises UnusableError, ApiError."""
    body = files.rollout.body
    metadata = body["metadata"]
    live = await kube.get(CANARYROLLOUTS, files.namespace, files.rollout.name)
    known = {"uid": "", "creationTimestamp": NEW, **(live["metadata"] if live is not None else {})}
    raw = {**body, "metadata": {**known, **metadata}, "status": (live or {}).get("status") or {}}
    return await _seen(kube, parse(raw), files)


async def _seen(kube: KubeClient, subject: Subject, files: Files | None) -> Seen:
    if subject.spec is None or subject.problem is not None:
        raise UnusableError(subject.problem.message if subject.problem is not None else "the CanaryRollout cannot be read")
    spec = subject.spec
    # Only the operator knows the admin's templates.
    snapshot = await ClusterReader(kube, lambda _: ()).read(subject, spec)
    around = await SurroundingsReader(kube).around(snapshot.namespace)
    snapshot = replace(snapshot, surroundings=around)
    not_checked = ["Prometheus and its data (the operator does it when the rollout begins)"]
    if spec.analysis.metrics:
        not_checked.append("custom metrics (only the operator knows the admin's templates and rules)")
    if files is None:
        return Seen(subject, snapshot, tuple(not_checked), {})
    snapshot, coming = _laid_over(snapshot, files, subject.status, spec.version_label, subject)
    missing = sorted(version for version in coming if not snapshot.versions.get(version, VersionPods()).total)
    not_checked += [f"the pods of version {version}: from its template in the files, not deployed yet" for version in missing]
    return Seen(subject, snapshot, tuple(not_checked), coming)


def _laid_over(
    snapshot: Snapshot, files: Files, status: CanaryRolloutStatus, label: str, subject: Subject
) -> tuple[Snapshot, dict[str, VersionPods]]:
    """Objects of the files in the place of live ones of the same name."""
    spec = subject.spec
    if spec is None:
        raise AssertionError("a rollout without a spec")
    under_way = status.routing.version_label if status.routing is not None else ""
    labelled = spec.model_copy(update={"version_label": under_way or label})
    service: Any = next((item for item in files.of("Service") if item["metadata"]["name"] == spec.service), snapshot.service)
    mesh = MeshObjects(
        _replaced(snapshot.mesh.virtual_services, files.of("VirtualService")),
        _replaced(snapshot.mesh.destination_rules, files.of("DestinationRule")),
    )
    coming = workload_versions(files.of(*WORKLOADS), service, labelled)
    return replace(snapshot, service=service, observed_endpoints=service is not None, mesh=mesh), coming


def _replaced(live: Sequence[Raw], given: Sequence[Object]) -> tuple[Raw, ...]:
    known = {item["metadata"]["name"]: item for item in live}
    for item in given:
        revision = known.get(item["metadata"]["name"], {"metadata": {}})["metadata"].get("resourceVersion", "1")
        known[item["metadata"]["name"]] = {**item, "metadata": {**item["metadata"], "resourceVersion": revision}}
    return tuple(known.values())
