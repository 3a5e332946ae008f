"""The sync prover without an operator around it: a namespace with the sample application, weights written as the operator
writes them, and an identity that may do no more than the prover needs.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from canaryrollout.core import envoy_routes
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.snapshot import Expectation, SyncReport
from canaryrollout.kube.client import KubeClient
from canaryrollout.mesh.proxy_sync import IstiodSyncProver
from canaryrollout.settings import IstioSettings
from localmesh import sample
from localmesh.mesh import Mesh
from localmesh.podspec import ISTIOD_ANNOTATION, XDS_RELAY_ANNOTATION

Object = dict[str, Any]

ISTIO = "networking.istio.io/v1"
READER = "prover-mesh-reader"


@dataclass
class Stage:
    """A namespace with reviews v1 and v2 and their clients, and a prover."""

    mesh: Mesh
    namespace: str
    kube: KubeClient
    settings: IstioSettings
    prover: IstiodSyncProver
    workloads: frozenset[str] = field(default=frozenset())
    question: Expectation | None = None

    @property
    def host(self) -> ServiceHost:
        return ServiceHost("reviews", self.namespace)

    def write_subsets(self) -> Expectation:
        """The DestinationRule of v1 and v2, and what its proof is."""
        subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
        written = self._write("DestinationRule", {"host": "reviews", "subsets": subsets})
        self.question = Expectation(
            self.namespace, self.host.fqdn, "reviews", ("v1", "v2"), revision=written["metadata"]["resourceVersion"]
        )
        return self.question

    def write_weight(self, weight: int) -> Expectation:
        """So many percent to v2, and what its proof is."""
        route = [{"destination": {"host": "reviews", "subset": s}, "weight": w} for s, w in (("v1", 100 - weight), ("v2", weight))]
        written = self._write("VirtualService", {"hosts": ["reviews"], "http": [{"name": "primary", "route": route}]})
        allowed, required = envoy_routes.expected_splits(written, self.host)
        base = Expectation(self.namespace, self.host.fqdn, "reviews", ("v1", "v2"))
        self.question = replace(base, splits=allowed, required=required, revision=written["metadata"]["resourceVersion"])
        return self.question

    def _write(self, kind: str, spec: Object) -> Object:
        manifest = {"apiVersion": ISTIO, "kind": kind, "metadata": {"name": "reviews", "namespace": self.namespace}, "spec": spec}
        self.mesh.apply(manifest)
        return self.mesh.get(f"/apis/{ISTIO}/namespaces/{self.namespace}/{kind.lower()}s/reviews")

    async def ask(self) -> SyncReport:
        """Put the last question once."""
        assert self.question is not None
        report = await self.prover.prove(self.question, self.workloads)
        self.workloads = report.workloads
        return report

    async def until(self, holds: Callable[[SyncReport], bool], seconds: float = 30.0) -> SyncReport:
        """Ask until a report is as wanted."""
        deadline = time.monotonic() + seconds
        while True:
            report = await self.ask()
            if holds(report):
                return report
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s; last report: {report}")
            await asyncio.sleep(0.1)

    async def in_sync(self, seconds: float = 30.0) -> SyncReport:
        """Ask until the answer is yes."""
        return await self.until(lambda report: report.in_sync, seconds)

    async def new_prover(self) -> None:
        """As after a restart of the operator."""
        await self.prover.close()
        self.prover = IstiodSyncProver(self.kube, self.settings)

    def pod(self, app: str, **labels: str) -> str:
        """Name of the only pod of an app."""
        return self.mesh.pod(self.namespace, app=app, **labels)

    def served_weights(self) -> dict[str, set[int]]:
        """By pod: v2's weights in the routes to reviews that its Envoy serves."""
        return {name: found for name in self._pods() if (found := self._served(name))}

    def _pods(self) -> list[str]:
        return [str(pod["metadata"]["name"]) for pod in self.mesh.pods(self.namespace)]

    def _served(self, pod: str) -> set[int]:
        dump = json.loads(self.mesh.envoy(self.namespace, pod).admin("/config_dump?resource=dynamic_route_configs"))
        actions = [
            route.get("route") or {}
            for item in dump.get("configs") or []
            for host in item["route_config"].get("virtual_hosts") or []
            for route in host["routes"]
        ]
        return {weight for action in actions if (weight := _canary_weight(action, self.host.fqdn)) is not None}


def _canary_weight(action: Object, host: str) -> int | None:
    """v2's share of a route to the host; None for routes elsewhere."""
    weighted = (action.get("weighted_clusters") or {}).get("clusters") or [{"name": action.get("cluster", ""), "weight": 100}]
    shares = {entry["name"]: int(entry.get("weight") or 0) for entry in weighted}
    if not any(name.endswith(f"|{host}") for name in shares):
        return None
    return shares.get(f"outbound|80|v2|{host}", 0)


@contextlib.asynccontextmanager
async def stage(mesh: Mesh, *, replicas: int = 2, xds_relay: bool = False, istiod: str = "") -> AsyncIterator[Stage]:
    """The sample with `replicas` clients, subsets proved. `istiod` is the replica that productpage's proxies connect to (istiod-0)."""
    annotations = {ISTIOD_ANNOTATION: istiod or "istiod-0"}
    if xds_relay:
        annotations[XDS_RELAY_ANNOTATION] = "true"
    with mesh.namespace("prover") as namespace:
        mesh.apply(*_identity(namespace))
        mesh.apply(
            sample.service(namespace, "reviews"),
            *(item for version in ("v1", "v2") for item in sample.reviews(namespace, version, annotations={ISTIOD_ANNOTATION: "istiod-0"})),
            *sample.productpage(namespace, replicas=replicas, annotations=annotations),
            *sample.ingress(namespace, mesh.gateway_port()),
        )
        mesh.wait_ready(namespace)
        settings = IstioSettings(reader_service_account=READER)
        try:
            async with await KubeClient.load(mesh.token_kubeconfig(namespace, "prover")) as kube:
                created = Stage(mesh, namespace, kube, settings, IstiodSyncProver(kube, settings))
                try:
                    created.write_subsets()
                    await created.in_sync()
                    yield created
                finally:
                    await created.prover.close()
        finally:
            for kind in ("clusterroles", "clusterrolebindings"):
                mesh.delete(f"/apis/rbac.authorization.k8s.io/v1/{kind}/{namespace}")


def _identity(namespace: str) -> list[Object]:
    """A ServiceAccount that may list pods and ask for tokens of the reader, which itself may do nothing."""
    rbac = "rbac.authorization.k8s.io/v1"
    tokens = {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": [READER], "verbs": ["create"]}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}, tokens]
    subject = {"kind": "ServiceAccount", "name": "prover", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "prover", "namespace": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": READER, "namespace": "istio-system"}},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": namespace}, "rules": rules},
        {"apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": namespace}, "roleRef": role, "subjects": [subject]},
    ]
