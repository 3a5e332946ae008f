"""A namespace with the Service reviews, two versions and everything in order, to be broken in one place."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Routing
from canaryrollout.core.findings import Finding
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.preflight.chain import examine, skipped
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.snapshot import MeshObjects, PodSeen, Snapshot, VersionPods
from canaryrollout.core.surroundings import Cluster

NAMESPACE = "shop"
FQDN = "reviews.shop.svc.cluster.local"

Object = dict[str, Any]


def item(kind: str, name: str, namespace: str = NAMESPACE, created: str = "2024-01-01T00:00:00Z", **spec: Any) -> Object:
    """An object."""
    metadata = {"name": name, "namespace": namespace, "resourceVersion": "1", "creationTimestamp": created}
    return {"kind": kind, "metadata": metadata, "spec": spec}


def to(subset: str = "", weight: int | None = None, host: str = "reviews", **destination: Any) -> Object:
    """One destination of a route."""
    found: Object = {"destination": {"host": host, **({"subset": subset} if subset else {}), **destination}}
    return found if weight is None else {**found, "weight": weight}


def routing(**changes: Any) -> Routing:
    """v1 is stable, v2 on trial."""
    given = {"virtual_service": "reviews", "destination_rule": "reviews", "stable_subset": "v1", "canary_subset": "v2"}
    return Routing.model_validate({**given, **changes})


def versions(pods: Sequence[PodSeen]) -> dict[str, VersionPods]:
    """Counted as the shell does."""
    found: dict[str, list[PodSeen]] = {}
    for pod in pods:
        if pod.labels.get("version"):
            found.setdefault(pod.labels["version"], []).append(pod)
    return {version: VersionPods(total=len(of), ready=sum(pod.ready for pod in of)) for version, of in found.items()}


def pod(version: str, number: int = 1, ready: bool = True, **labels: str) -> PodSeen:
    """A pod of a version ("" for none)."""
    named = {"app": "reviews", **({"version": version} if version else {}), **labels}
    return PodSeen(f"reviews-{version or 'none'}-{number}", named, ready)


@dataclass
class Scene:
    """Everything in order; change what should not be."""

    http: list[Object] = field(default_factory=lambda: [{"name": "all", "route": [to("v1")]}])
    service: Object = field(default_factory=lambda: {"spec": {"selector": {"app": "reviews"}, "ports": [{"port": 80}]}})
    hosts: list[str] = field(default_factory=lambda: ["reviews"])
    gateways: list[str] = field(default_factory=list)
    subsets: list[Object] = field(default_factory=lambda: [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")])
    policy: Object = field(default_factory=dict)
    spec: Object = field(default_factory=dict)
    pods: tuple[PodSeen, ...] | None = tuple(pod(version, number) for version in ("v1", "v2") for number in (1, 2))
    routing: Routing | None = field(default_factory=routing)
    mesh: list[Object] = field(default_factory=list)
    """Further VirtualServices and DestinationRules of the namespace."""
    others: list[Object] = field(default_factory=list)
    """Objects of the surroundings."""
    mesh_config: Object | None = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    looked_around: bool = True

    def given(self) -> Input:
        """As preflight gets it."""
        gateways = {"gateways": self.gateways} if self.gateways else {}
        own = item("VirtualService", "reviews", hosts=self.hosts, http=self.http, **gateways)
        policy = {"trafficPolicy": self.policy} if self.policy else {}
        rule = item("DestinationRule", "reviews", host="reviews", subsets=self.subsets, **policy)
        mesh = copy.deepcopy([own, rule, *self.mesh])
        known = [item("Service", name, ports=[{"port": 80}]) for name in ("reviews", "ratings")]
        objects: dict[str, list[Object]] = {}
        for found in (*known, *mesh, *self.others):
            objects.setdefault(found["kind"], []).append(found)
        cluster = Cluster(objects, mesh_config=self.mesh_config, unreadable=self.unreadable)
        of = {kind: tuple(found for found in mesh if found["kind"] == kind) for kind in ("VirtualService", "DestinationRule")}
        snapshot = Snapshot(
            name="reviews",
            namespace=NAMESPACE,
            uid="uid",
            generation=1,
            now=0.0,
            service=self.service,
            versions=versions(self.pods or ()),
            pods=self.pods,
            mesh=MeshObjects(of["VirtualService"], of["DestinationRule"]),
            surroundings=cluster.around(NAMESPACE) if self.looked_around else None,
        )
        spec = CanaryRolloutSpec.model_validate({"service": "reviews", "version": "v2", **self.spec})
        return Input(snapshot, spec, ServiceHost("reviews", NAMESPACE), self.routing)

    def findings(self) -> tuple[Finding, ...]:
        """What preflight says."""
        return examine(self.given())

    def said(self) -> list[tuple[str, str, str]]:
        """(code, severity, path) of each finding."""
        return [(finding.code, finding.severity.value, finding.path) for finding in self.findings()]

    def skipped(self) -> tuple[str, ...]:
        """What it could not look at."""
        return skipped(self.given())


def said(**changes: Any) -> list[tuple[str, str, str]]:
    """What preflight says of a scene with changes."""
    return Scene(**changes).said()
