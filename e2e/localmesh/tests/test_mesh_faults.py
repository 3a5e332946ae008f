"""Faults that tests can cause, and what the rest of the mesh sees of them."""

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import aiohttp
import pytest
from localmesh import LocalMeshError, Mesh
from localmesh.kube import ApiError
from localmesh.podspec import ISTIOD_ANNOTATION
from localmesh.tests.shop import Shop


def routed(shop: Shop) -> dict[str, int]:
    """Weights for reviews in the Envoy of productpage."""
    dump = shop.mesh.envoy(shop.namespace, shop.productpage).admin("/config_dump?resource=dynamic_route_configs")
    hosts = [host for item in json.loads(dump)["configs"] for host in item["route_config"]["virtual_hosts"]]
    for host in hosts:
        if host["name"].startswith("reviews."):
            route = host["routes"][0]["route"]
            clusters = route.get("weighted_clusters", {}).get("clusters") or [{"name": route["cluster"], "weight": 100}]
            return {item["name"].split("|")[2]: item["weight"] for item in clusters}
    return {}


def syncz(shop: Shop, istiod: str) -> dict[str, Any]:
    """What an istiod knows about the proxies of the namespace, by pod."""
    path = "/api/v1/namespaces/istio-system/serviceaccounts/default/token"
    token = shop.mesh.request("POST", path, {"spec": {"audiences": ["istio-ca"], "expirationSeconds": 600}})["status"]["token"]
    request = urllib.request.Request(f"http://{istiod}/debug/syncz", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        proxies = json.load(answer)
    suffix = f".{shop.namespace}"
    return {proxy["proxy"].removesuffix(suffix): proxy for proxy in proxies if proxy["proxy"].endswith(suffix)}


def test_the_debug_interface_wants_a_token(mesh: Mesh) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://{mesh.istiod_addresses[0]}/debug/syncz", timeout=10)


def test_a_stalled_proxy_serves_its_old_routes_and_looks_connected(shop: Shop) -> None:
    mesh, pod, relay = shop.mesh, shop.productpage, shop.mesh.xds(shop.namespace, shop.productpage)
    mesh.wait(lambda: routed(shop) == {"v1": 100})
    with mesh.load(shop.namespace, rps=30) as load:
        relay.stall()
        shop.route(100)
        mesh.wait(lambda: syncz(shop, mesh.istiod_addresses[0])[pod]["route_sent"] != _acked(shop, pod))
        assert routed(shop) == {"v1": 100}
        relay.restore()
        mesh.wait(lambda: routed(shop) == {"v2": 100})
        mesh.wait(lambda: "v2" in load.versions())
    assert load.failures() == []


def _acked(shop: Shop, pod: str) -> str:
    return str(syncz(shop, shop.mesh.istiod_addresses[0])[pod]["route_acked"])


def test_a_refused_proxy_vanishes_from_istiod_and_serves_on(shop: Shop) -> None:
    mesh, pod, relay = shop.mesh, shop.productpage, shop.mesh.xds(shop.namespace, shop.productpage)
    mesh.wait(lambda: routed(shop) == {"v1": 100})
    with mesh.load(shop.namespace, rps=30) as load:
        relay.refuse()
        mesh.wait(lambda: pod not in syncz(shop, mesh.istiod_addresses[0]))
        shop.route(100)
        assert routed(shop) == {"v1": 100}
        relay.restore()
        mesh.wait(lambda: routed(shop) == {"v2": 100}, 60)
        assert pod in syncz(shop, mesh.istiod_addresses[0])
    assert load.failures() == []


def test_a_frozen_proxy_holds_its_requests_until_it_goes_on(shop: Shop) -> None:
    envoy = shop.mesh.envoy(shop.namespace, shop.productpage)
    with shop.mesh.load(shop.namespace, rps=20) as load:
        shop.mesh.wait(load.answers)
        envoy.pause()
        with pytest.raises(OSError, match="timed out"):
            envoy.admin("/ready", timeout=1)
        envoy.resume()
        shop.mesh.wait(lambda: envoy.admin("/ready").strip() == "LIVE")


def test_a_configuration_that_envoy_rejects_is_a_nack_with_its_error(shop: Shop) -> None:
    mesh, pod = shop.mesh, shop.productpage
    bad = {"request_headers_to_add": [{"header": {"key": ":path", "value": "x"}}]}
    patch = {
        "applyTo": "ROUTE_CONFIGURATION",
        "match": {"context": "SIDECAR_OUTBOUND"},
        "patch": {"operation": "MERGE", "value": bad},
    }
    selector = {"labels": {"app": "productpage"}}
    meta = {"name": "bad", "namespace": shop.namespace}
    spec = {"workloadSelector": selector, "configPatches": [patch]}
    mesh.apply({"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": meta, "spec": spec})
    routes = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"

    def error() -> str:
        resources = syncz(shop, mesh.istiod_addresses[0])[pod]["resources"]
        return str(resources.get(routes, {}).get("lastError", ""))

    mesh.wait(lambda: "may not be modified" in error())


def test_a_killed_istiod_comes_back_and_proxies_find_it(shop: Shop) -> None:
    mesh = shop.mesh
    with mesh.load(shop.namespace, rps=30) as load:
        mesh.istiod(0).kill()
        mesh.wait(lambda: mesh.istiod_addresses == [])
        mesh.wait(lambda: mesh.istiod_addresses != [], 60)
        mesh.wait(lambda: len(syncz(shop, mesh.istiod_addresses[0])) == 5, 60)
        shop.route(100)
        mesh.wait(lambda: routed(shop) == {"v2": 100}, 60)
    assert load.failures() == []


def test_proxies_can_be_spread_over_two_istiods(shop: Shop) -> None:
    mesh = shop.mesh
    mesh.start_istiod(1)
    try:
        pin = {"spec": {"template": {"metadata": {"annotations": {ISTIOD_ANNOTATION: "istiod-1"}}}}}
        mesh.patch(f"/apis/apps/v1/namespaces/{shop.namespace}/deployments/reviews-v2", pin)
        mesh.wait_ready(shop.namespace)
        pod = mesh.pod(shop.namespace, app="reviews", version="v2")
        first, second = sorted(mesh.istiod_addresses)
        mesh.wait(lambda: pod in syncz(shop, second))
        assert pod not in syncz(shop, first)
    finally:
        mesh.stop_istiod(1)
        mesh.wait(lambda: len(mesh.istiod_addresses) == 1)


@pytest.mark.parametrize("part", ["etcd", "kube-apiserver"])
def test_traffic_and_pods_survive_a_control_plane_that_is_away(shop: Shop, part: str) -> None:
    mesh, namespace = shop.mesh, shop.namespace
    lonely = mesh.pods(namespace, app="reviews", version="v2")[0]["metadata"]["name"]
    with mesh.load(namespace, rps=30) as load:
        mesh.part(part).kill()
        # The kubelet notices a change that it cannot report yet.
        mesh.part(f"pod/{namespace}/{lonely}/reviews").kill()
        mesh.part(part).start()
        mesh.wait(lambda: _answers(mesh), 60)
        mesh.wait(lambda: mesh.pods(namespace, version="v2")[0]["status"]["containerStatuses"][0]["restartCount"] == 1, 60)
        mesh.delete(f"/api/v1/namespaces/{namespace}/pods/{lonely}")
        mesh.wait(lambda: mesh.find(f"/api/v1/namespaces/{namespace}/pods/{lonely}") is None, 60)
        mesh.wait_ready(namespace)
    assert load.failures() == []


def _answers(mesh: Mesh) -> bool:
    try:
        return bool(mesh.get("/api/v1/namespaces/default"))
    except (ApiError, aiohttp.ClientError, TimeoutError):
        return False


def test_prometheus_keeps_its_history_over_a_stop(shop: Shop) -> None:
    mesh = shop.mesh
    up = f'max_over_time(up{{namespace="{shop.namespace}"}}[10m])'
    mesh.wait(lambda: len(mesh.query(up)) == 5, 40)
    mesh.prometheus.stop()
    with pytest.raises(OSError, match="refused"):
        mesh.query("up")
    mesh.prometheus.start()
    assert len(mesh.query(up)) == 5


def test_unknown_parts_and_operations_are_refused_by_name(mesh: Mesh) -> None:
    with pytest.raises(LocalMeshError, match="no part named 'pod/a/b/c'"):
        mesh.part("pod/a/b/c").kill()


def test_requests_of_a_service_account_are_counted_and_limited_to_its_rights(shop: Shop) -> None:
    mesh, namespace = shop.mesh, shop.namespace
    mesh.wait(lambda: mesh.find(f"/api/v1/namespaces/{namespace}/serviceaccounts/default"))
    config = json.loads(mesh.token_kubeconfig(namespace, "default").read_text())
    token = config["users"][0]["user"]["token"]
    tls = ssl.create_default_context(cafile=config["clusters"][0]["cluster"]["certificate-authority"])
    url = f"{config['clusters'][0]['cluster']['server']}/api/v1/namespaces/{namespace}/pods"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=10, context=tls)
    user = f"system:serviceaccount:{namespace}:default"
    mesh.wait(lambda: mesh.audit(user) == {"list pods": 1})
