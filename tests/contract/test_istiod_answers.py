"""Real answers of istiod 1.31, recorded on the local mesh: productpage and an ingress gateway call reviews, weights 90 and 10.

syncz-nack.json was taken while an EnvoyFilter gave productpage's routes a negative timeout.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from canaryrollout.core.snapshot import Expectation
from canaryrollout.core.sync import Scope, scope_state, shows
from canaryrollout.mesh.config_dump import read_dump, read_syncz

DATA = Path(__file__).parent / "data" / "istiod-1.31"
HOST = "reviews.bookinfo.svc.cluster.local"
BETA, PRIMARY = ((HOST, "v2", 100),), ((HOST, "v1", 90), (HOST, "v2", 10))
WEIGHTS = Expectation("bookinfo", HOST, "reviews", ("v1", "v2"), splits=(PRIMARY, BETA), required=(PRIMARY, BETA))


def read(name: str) -> bytes:
    return (DATA / name).read_bytes()


def test_connections_with_their_nonces() -> None:
    found = {connection.proxy.split("-")[0]: connection for connection in read_syncz(read("syncz.json"))}
    assert {name: connection.kind for name, connection in found.items()} == {
        "ingressgateway": "router",
        "productpage": "sidecar",
        "reviews": "sidecar",
    }
    for connection in found.values():
        assert {"clusters", "listeners", "routes", "endpoints"} <= connection.watches.keys()
        assert not connection.outstanding
        assert connection.newest > 1
        assert connection.handled >= connection.newest


def test_a_rejection_with_the_envoys_own_text() -> None:
    rejected = [connection for connection in read_syncz(read("syncz-nack.json")) if connection.watched("routes").error]
    assert [connection.proxy.split("-")[0] for connection in rejected] == ["productpage"]
    routes = rejected[0].watched("routes")
    assert "Expected positive duration" in routes.error
    assert not routes.settled


def test_the_splits_and_clusters_of_a_sidecar() -> None:
    found = read_dump(read("config-dump-sidecar.json"), WEIGHTS)
    assert found.push > 1
    assert found.splits == {PRIMARY, BETA}, "a destination of weight 0 is left out, a single one has no weight"
    assert not found.defaults
    assert found.clusters == {(80, ""), (80, "v1"), (80, "v2")}
    assert scope_state(WEIGHTS, found, "sidecar", "bookinfo") is Scope.RELEVANT
    assert shows(WEIGHTS, found)
    assert not shows(replace(WEIGHTS, splits=(PRIMARY,)), found)


def test_default_routes_are_told_from_those_of_another_virtual_service() -> None:
    other = replace(WEIGHTS, virtual_service="reviews-next")
    found = read_dump(read("config-dump-sidecar.json"), other)
    assert not found.splits
    assert not found.defaults
    products = replace(WEIGHTS, host="productpage.bookinfo.svc.cluster.local", virtual_service="productpage")
    found = read_dump(read("config-dump-sidecar.json"), products)
    assert found.defaults, "no VirtualService for productpage: Istio's own routes"
    assert scope_state(products, found, "sidecar", "bookinfo") is Scope.AWAITED


def test_a_gateway_that_routes_the_service_without_the_virtual_service_is_concerned_only_by_its_subsets() -> None:
    found = read_dump(read("config-dump-gateway.json"), WEIGHTS)
    assert not found.splits
    assert scope_state(WEIGHTS, found, "router", "bookinfo") is Scope.IRRELEVANT
    assert scope_state(replace(WEIGHTS, splits=()), found, "router", "bookinfo") is Scope.RELEVANT


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"configs":[]}', b'{"configs":[{"versionInfo":"x/1"}]}'])
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_dump(body, WEIGHTS)


@pytest.mark.parametrize("body", [b"", b"{}", b'["a"]', b"<html>"])
def test_anything_else_than_a_list_of_proxies_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_syncz(body)
