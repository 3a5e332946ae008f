"""Real answers of the admin interface of Envoy 1.40, recorded on the local mesh through the API server's port-forward.

reviews has routes beta (a header) and primary (90 and 10; 100 and 0 in sidecar-routes-100.json), for the hosts reviews and
reviews.example, at the mesh and at a gateway. The namespace was renamed.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from canaryrollout.core.envoy_view import EnvoyView, clusters_of, difference
from canaryrollout.core.snapshot import Expectation
from canaryrollout.mesh.config_dump import read_admin_clusters, read_admin_routes

DATA = Path(__file__).parent / "data" / "envoy-1.40"
HOST = "reviews.bookinfo.svc.cluster.local"
BETA, PRIMARY, STABLE = ((HOST, "v2", 100),), ((HOST, "v1", 90), (HOST, "v2", 10)), ((HOST, "v1", 100),)
WEIGHTS = Expectation("bookinfo", HOST, "reviews", ("v1", "v2"), splits=(PRIMARY, BETA), required=(PRIMARY, BETA))


def view(proxy: str, routes: str = "routes", expectation: Expectation = WEIGHTS) -> EnvoyView:
    clusters = clusters_of(read_admin_clusters((DATA / f"{proxy}-clusters.json").read_bytes()), expectation.host)
    return EnvoyView(read_admin_routes((DATA / f"{proxy}-{routes}.json").read_bytes(), expectation), clusters)


def test_a_sidecar_shows_the_splits_in_each_of_its_virtual_hosts() -> None:
    found = view("sidecar")
    hosts = ("reviews.example:80", f"{HOST}:80")
    assert found.routes.splits == {f"{name}/{host}": {BETA, PRIMARY} for name in ("80", "http_proxy") for host in hosts}
    assert not found.routes.defaults
    assert found.clusters == {(80, ""), (80, "v1"), (80, "v2")}
    assert difference(WEIGHTS, found) == ""


def test_a_gateway_shows_them_too() -> None:
    found = view("gateway")
    assert {name.partition("/")[0].partition(".")[0] for name in found.routes.splits} == {"http"}
    assert found.routes.all_splits == {BETA, PRIMARY}
    assert difference(WEIGHTS, found) == ""


def test_a_destination_of_weight_0_is_left_out_and_a_single_one_counts_100() -> None:
    found = view("sidecar", "routes-100")
    assert found.routes.all_splits == {BETA, STABLE}
    assert difference(replace(WEIGHTS, splits=(BETA, STABLE), required=(BETA, STABLE)), found) == ""
    assert difference(WEIGHTS, found) == f"virtual host 80/{HOST}:80 serves v1 100 instead of v1 90, v2 10 or v2 100"


def test_routes_of_another_virtual_service_are_not_taken_for_ours() -> None:
    other = replace(WEIGHTS, virtual_service="reviews-next")
    found = view("sidecar", expectation=other)
    assert not found.routes.splits
    assert not found.routes.defaults
    assert difference(other, found) == "it has no route of VirtualService bookinfo/reviews-next"
    products = replace(WEIGHTS, host="productpage.bookinfo.svc.cluster.local", virtual_service="productpage")
    assert view("sidecar", expectation=products).routes.defaults, "no VirtualService for productpage: Istio's own routes"


def test_an_answer_without_any_resource() -> None:
    assert read_admin_clusters(b"{}\n") == []
    assert not read_admin_routes(b"{}\n", WEIGHTS).splits


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"upstream connect error", b"\xff"])
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_admin_clusters(body)
    with pytest.raises(ValueError, match=r"\S"):
        read_admin_routes(body, WEIGHTS)
