"""Tests of the local mesh itself, on a running one."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from localmesh import Mesh, sample
from localmesh.podspec import XDS_RELAY_ANNOTATION

pytest_plugins = ["localmesh.pytest_plugin"]


@dataclass(frozen=True)
class Shop:
    """The sample application in a namespace of its own: two versions of reviews, clients with a relay to istiod."""

    mesh: Mesh
    namespace: str

    @property
    def productpage(self) -> str:
        return self.mesh.pod(self.namespace, app="productpage")

    def route(self, v2: int, *, v1_subset: str = "v1") -> None:
        """Send `v2` percent of the requests for reviews to v2, the rest to the subset `v1_subset`."""
        shares = [(v1_subset, 100 - v2), ("v2", v2)]
        destinations = [{"destination": {"host": "reviews", "subset": name}, "weight": weight} for name, weight in shares]
        spec = {"hosts": ["reviews"], "http": [{"route": [item for item in destinations if item["weight"]]}]}
        self.mesh.apply(self._istio("VirtualService", spec))

    def subsets(self, *names: str) -> None:
        subsets = [{"name": name, "labels": {"version": name}} for name in names]
        self.mesh.apply(self._istio("DestinationRule", {"host": "reviews", "subsets": subsets}))

    def _istio(self, kind: str, spec: dict[str, object]) -> dict[str, object]:
        meta = {"name": "reviews", "namespace": self.namespace}
        return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec}

    def count(self, **labels: str) -> float:
        """Requests that Prometheus has seen in this namespace with these labels."""
        selector = ",".join(f'{name}="{value}"' for name, value in {"namespace": self.namespace, **labels}.items())
        found = self.mesh.query(f"sum(istio_requests_total{{{selector}}})")
        return float(found[0]["value"][1]) if found else 0.0


@pytest.fixture
def shop(mesh: Mesh) -> Iterator[Shop]:
    with mesh.namespace("shop") as namespace:
        relayed = {XDS_RELAY_ANNOTATION: "true"}
        mesh.apply(
            sample.service(namespace, "reviews"),
            *sample.reviews(namespace, "v1", replicas=2),
            *sample.reviews(namespace, "v2"),
            *sample.productpage(namespace, annotations=relayed),
            *sample.ingress(namespace, mesh.gateway_port()),
        )
        made = Shop(mesh, namespace)
        made.subsets("v1", "v2")
        made.route(0)
        mesh.wait_ready(namespace)
        yield made
