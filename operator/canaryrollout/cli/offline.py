"""A snapshot made of files: what a cluster that holds exactly these objects would show, every pod ready."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.cli.manifests import STDIN, Document, ManifestsError, relevant
from canaryrollout.cli.shapes import check
from canaryrollout.core.findings import Finding
from canaryrollout.core.snapshot import MeshObjects, PodSeen, Snapshot, VersionPods
from canaryrollout.core.surroundings import Cluster

Object = dict[str, Any]

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
_PODS_SHOWN = 20
_AROUND = ("VirtualService", "DestinationRule", "Gateway", "EnvoyFilter", "PeerAuthentication", "ServiceEntry", "Sidecar", "Service")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, counted from 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Files:
    """The objects of the files, with the CanaryRollout that is planned."""

    rollout: Document
    documents: tuple[Document, ...]

    @property
    def namespace(self) -> str:
        """The rollout's namespace."""
        return str(self.rollout.body["metadata"]["namespace"])

    @property
    def told(self) -> str:
        """How many of what, for people."""
        files = sorted({document.file for document in self.documents})
        named = files[0] if len(files) == 1 else f"{len(files)} files"
        return f"{named} ({len(self.documents)} object{'s' if len(self.documents) > 1 else ''})"

    def of(self, *kinds: str, anywhere: bool = False) -> list[Object]:
        """Objects of the rollout's namespace, or of all."""
        found = (document.body for document in self.documents if document.kind in kinds)
        return [body for body in found if anywhere or body["metadata"]["namespace"] == self.namespace]

    def place(self, finding: Finding) -> Place | None:
        """Where what was found stands; the CanaryRollout where it is about no object, None where its object is in no file."""
        subjects = {f"{d.kind}/{d.body['metadata']['namespace']}/{d.name}": d for d in self.documents}
        document = subjects.get(finding.subject) if finding.subject else self.rollout
        return None if document is None else _place(document, finding.path)

    def anchor(self, finding: Finding) -> Place | None:
        """The same, or the CanaryRollout: code scanning refuses a whole log in which one finding is in no file."""
        return self.place(finding) or _place(self.rollout, "")


def _place(document: Document, path: str) -> Place | None:
    if document.file == STDIN:
        return None
    file = os.path.relpath(document.file) if Path(document.file).is_absolute() else document.file
    return Place(document.file if file.startswith("..") else Path(file).as_posix(), document.line(path))


def select(documents: Iterable[Document], namespace: str, wanted: str | None = None, name: str | None = None) -> Files:
    """The one CanaryRollout, and all objects checked; what names no namespace is in `namespace`. Raises ManifestsError.

    `wanted` is the namespace that was asked for, if any: the CanaryRollout must not be of another. `name` is that of the one to
    take where there are several.
    """
    found = relevant(documents, namespace)
    rollouts = [document for document in found if document.kind == "CanaryRollout" and name in (None, document.name)]
    if name is not None and wanted is not None:
        rollouts = [document for document in rollouts if document.body["metadata"]["namespace"] == wanted] or rollouts
    if not rollouts:
        called = "" if name is None else f" {name}"
        raise ManifestsError(f"the files hold no CanaryRollout{called} (apiVersion canaryrollout.io/v1beta1)")
    if len(rollouts) > 1:
        places = ", ".join(f"{document.name} ({document.where})" for document in rollouts)
        raise ManifestsError(f"the files hold {len(rollouts)} CanaryRollouts, name one or give its file alone: {places}")
    for document in found:
        check(document)
    files = Files(rollouts[0], tuple(found))
    if wanted is not None and files.namespace != wanted:
        raise ManifestsError(f"{files.rollout.where}: the CanaryRollout is of namespace {files.namespace}, not of {wanted} (--namespace)")
    return files


def spec_of(rollout: Document) -> CanaryRolloutSpec:
    """The spec. Raises ManifestsError with the line of the first mistake."""
    try:
        return CanaryRolloutSpec.model_validate(rollout.body.get("spec") or {}, by_name=False)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[0]
    path = "spec" + "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in details["loc"])
    said = "there is no such field" if details["type"] == "extra_forbidden" else str(details["msg"]).removeprefix("Value error, ")
    raise ManifestsError(f"{rollout.file}:{rollout.line(path)}: {path}: {said}")


def snapshot(files: Files, spec: CanaryRolloutSpec) -> tuple[Snapshot, tuple[str, ...]]:
    """What the files show, and what they cannot."""
    metadata = files.rollout.body["metadata"]
    service = next((item for item in files.of("Service") if item["metadata"]["name"] == spec.service), None)
    workloads = files.of(*WORKLOADS)
    versions = workload_versions(workloads, service, spec)
    around = Cluster({kind: files.of(kind, anywhere=True) for kind in _AROUND}, unreadable=(*_AROUND, "MeshConfig")).around(files.namespace)
    seen = Snapshot(
        name=files.rollout.name,
        namespace=files.namespace,
        uid="",
        generation=1,
        now=0.0,
        annotations=metadata.get("annotations") or {},
        service=service or _stand_in(spec, files),
        versions=versions,
        pods=_pods_of(workloads, service, spec) if workloads else None,
        mesh=MeshObjects(_revised(files.of("VirtualService")), _revised(files.of("DestinationRule"))),
        surroundings=around,
    )
    return seen, _unknown(spec, service, versions)


def workload_versions(workloads: Iterable[Object], service: Object | None, spec: CanaryRolloutSpec) -> dict[str, VersionPods]:
    """The versions in the pod templates that the Service selects; without the Service, those labelled with its name."""
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for item in _selected(workloads, service, spec):
        version = _labels(item).get(spec.version_label)
        if version:
            found[version].append((str(item["metadata"]["name"]), _replicas(item)))
    return {version: _pods(members) for version, members in found.items()}


def _selected(workloads: Iterable[Object], service: Object | None, spec: CanaryRolloutSpec) -> Iterator[Object]:
    selector = ((service or {}).get("spec") or {}).get("selector") or {}
    for item in workloads:
        labels = _labels(item)
        named = spec.service in (labels.get("app"), labels.get("app.kubernetes.io/name"))
        if all(labels.get(name) == value for name, value in selector.items()) if selector else named:
            yield item


def _pods_of(workloads: Iterable[Object], service: Object | None, spec: CanaryRolloutSpec) -> tuple[PodSeen, ...]:
    """The pods that the workloads would have, all ready; of many alike, a few."""
    return tuple(
        PodSeen(f"{item['metadata']['name']}-{index}", _labels(item), ready=True)
        for item in _selected(workloads, service, spec)
        for index in range(min(_replicas(item), _PODS_SHOWN))
    )


def _replicas(item: Object) -> int:
    return int((item.get("spec") or {}).get("replicas", 1))


def _pods(members: Sequence[tuple[str, int]]) -> VersionPods:
    total = sum(replicas for _, replicas in members)
    return VersionPods(total=total, ready=total, workloads=tuple(sorted({name for name, _ in members})))


def _labels(item: Object) -> Mapping[str, str]:
    template = (item.get("spec") or {}).get("template") or {}
    return (template.get("metadata") or {}).get("labels") or {}


def _stand_in(spec: CanaryRolloutSpec, files: Files) -> Object:
    """A Service that is in none of the files; it has the ports that destinations name."""
    metadata = {"name": spec.service, "namespace": files.namespace}
    routes = [route for item in files.of("VirtualService") for route in (item.get("spec") or {}).get("http") or []]
    named = [((entry.get("destination") or {}).get("port") or {}).get("number") for route in routes for entry in route.get("route") or []]
    ports = [{"port": port} for port in sorted({port for port in named if port is not None})]
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": spec.service}, "ports": ports}}


def _revised(items: Iterable[Object]) -> tuple[Object, ...]:
    """With the resourceVersion that the machine's preconditions ask for."""
    return tuple({**item, "metadata": {**item["metadata"], "resourceVersion": "1"}} for item in items)


def _unknown(spec: CanaryRolloutSpec, service: Object | None, versions: Mapping[str, VersionPods]) -> tuple[str, ...]:
    found = ["whether pods are ready, and what the cluster holds besides these files"]
    if service is None:
        found.append(f"Service {spec.service}: it is not among the files; its selector and ports are taken for right")
    if not versions:
        found.append("the pods of every version: no workload of the Service is among the files")
    elif spec.version not in versions:
        found.append(f"the pods of version {spec.version}: no pod template of the files carries {spec.version_label}={spec.version}")
    return tuple(found)
