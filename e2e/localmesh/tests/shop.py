"""The application that the tests of the mesh work on."""

from dataclasses import dataclass

from localmesh import Mesh


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
