"""A delegate carries the weights: roots on a gateway and in the mesh, of this namespace and of another one."""

from typing import Any

from arena import ISTIO, Arena, operator_for
from localmesh import sample

NETWORKING = "networking.istio.io/v1"


def virtual_service(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": NETWORKING, "kind": "VirtualService", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def delegate(place: Arena) -> dict[str, Any]:
    """The routes of reviews, without hosts."""
    destination = {"host": "reviews", "subset": "v1"}
    return virtual_service(place.namespace, "reviews-routes", http=[{"name": "reviews", "route": [{"destination": destination}]}])


def rule(place: Arena) -> dict[str, Any]:
    subsets = [{"name": "v1", "labels": {"version": "v1"}}]
    metadata = {"name": "reviews", "namespace": place.namespace}
    return {"apiVersion": NETWORKING, "kind": "DestinationRule", "metadata": metadata, "spec": {"host": "reviews", "subsets": subsets}}


def straight_to_reviews(place: Arena) -> None:
    """The ingress gateway's VirtualService is the root: what it sent to productpage goes to reviews, by the delegate."""
    place.mesh.delete(f"{ISTIO}/namespaces/{place.namespace}/virtualservices/ingressgateway-productpage")
    to_delegate = {"match": [{"uri": {"prefix": "/"}}], "delegate": {"name": "reviews-routes"}}
    place.mesh.apply(virtual_service(place.namespace, "edge", hosts=[sample.HOST], gateways=["ingressgateway"], http=[to_delegate]))


def test_a_delegate_of_a_gateways_root_goes_through_a_whole_rollout(place: Arena, quick: dict[str, Any]) -> None:
    place.mesh.apply(rule(place), delegate(place))
    straight_to_reviews(place)
    place.rollout("v1", **quick)
    assert place.wait_phase("Stable")["routing"]["roots"] == [f"{place.namespace}/edge"]
    place.wait(lambda: _answers(place, "v1"), 30, "the gateway to send requests to reviews")
    with place.mesh.load(place.namespace, rps=80) as load:
        place.release("v2")
        proved = place.wait_phase("Analysing")["proxies"]
        assert proved["total"] == proved["synced"] == 1, "the gateway alone: no sidecar shows the delegate's routes"
        assert place.wait_outcome("v2")["outcome"] == "Promoted"
        assert load.failures() == []
        assert set(load.versions()) == {"v1", "v2"}
    assert place.split("reviews-routes") == {"v2": 100}
    assert place.virtual_service("edge")["spec"]["http"][0]["delegate"] == {"name": "reviews-routes"}


def _answers(place: Arena, version: str) -> bool:
    with place.mesh.load(place.namespace, rps=20) as load:
        place.mesh.wait(lambda: len(load.answers()) >= 5, 10, "some answers")
        return set(load.versions()) == {version} and load.failures() == []


def test_gateways_and_sidecars_follow_one_delegate_back_to_stable(place: Arena, quick: dict[str, Any]) -> None:
    second = place.mesh.gateway_port()
    place.mesh.apply(*sample.ingress(place.namespace, second, name="partners", to="reviews"), rule(place), delegate(place))
    place.mesh.delete(f"{ISTIO}/namespaces/{place.namespace}/virtualservices/partners-reviews")
    place.mesh.apply(
        virtual_service(
            place.namespace,
            "partners",
            hosts=[sample.HOST],
            gateways=["partners"],
            http=[{"delegate": {"name": "reviews-routes", "namespace": place.namespace}}],
        ),
        virtual_service(place.namespace, "inside", hosts=["reviews"], http=[{"delegate": {"name": "reviews-routes"}}]),
    )
    place.mesh.wait_ready(place.namespace)
    place.rollout("v1", **quick)
    place.wait_phase("Stable")
    with (
        place.mesh.load(place.namespace, rps=50) as through_sidecars,
        place.mesh.load(place.namespace, rps=50, app="partners") as through_gateway,
    ):
        place.release("v2", error_rate=0.7)
        proved = place.wait_phase("Analysing")["proxies"]
        assert proved["total"] == proved["synced"] >= 3, "the gateway of the root, and every sidecar"
        assert place.wait_outcome("v2")["outcome"] == "RolledBack"
        assert place.split("reviews-routes") == {"v1": 100}
        for load in (through_sidecars, through_gateway):
            assert "v2" in load.versions()
            assert {answer.version for answer in load.failures()} <= {"v2", ""}
    assert place.destination_rule()["spec"] == rule(place)["spec"]


def test_a_root_of_another_namespace_is_found_and_never_written(place: Arena, quick: dict[str, Any]) -> None:
    place.mesh.apply(rule(place), delegate(place))
    place.mesh.delete(f"{ISTIO}/namespaces/{place.namespace}/virtualservices/ingressgateway-productpage")
    with place.mesh.namespace("edge") as edge:
        to_delegate = {"delegate": {"name": "reviews-routes", "namespace": place.namespace}}
        gateway = f"{place.namespace}/ingressgateway"
        place.mesh.apply(virtual_service(edge, "root", hosts=[sample.HOST], gateways=[gateway], http=[to_delegate]))
        place.rollout("v1", **quick)
        place.wait(lambda: place.condition("Stalled")["reason"] == "DelegateWithoutRoot", 30, "the root to be missed")
        assert place.status()["phase"] == "Pending"
        assert "let the operator read VirtualServices of all namespaces" in place.condition("Stalled")["message"]
        place.operator.stop()
        place.operator = operator_for(place.mesh, place.namespace, wide=True)
        place.operator.start()
        assert place.wait_phase("Stable")["routing"]["roots"] == [f"{edge}/root"]
        before = place.mesh.get(f"{ISTIO}/namespaces/{edge}/virtualservices/root")
        with place.mesh.load(place.namespace, rps=80) as load:
            place.release("v2")
            proved = place.wait_phase("Analysing")["proxies"]
            assert proved["total"] == proved["synced"] == 1
            assert place.wait_outcome("v2")["outcome"] == "Promoted"
            assert load.failures() == []
            assert set(load.versions()) == {"v1", "v2"}
        assert place.mesh.get(f"{ISTIO}/namespaces/{edge}/virtualservices/root") == before
        place.mesh.delete(place.path())
        place.wait(lambda: place.mesh.find(place.path()) is None, 30, "the object to go")
