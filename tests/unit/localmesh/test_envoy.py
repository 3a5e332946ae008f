"""The bootstrap of an Envoy."""

from pathlib import Path
from typing import Any

from localmesh.envoy import Identity, arguments, bootstrap, endpoints_file

LABELS = {"app": "reviews", "version": "v2"}


def identity(**changes: Any) -> Identity:
    values: dict[str, Any] = {
        "namespace": "shop",
        "pod": "reviews-v2-1",
        "ip": "10.244.1.7",
        "node": "local",
        "workload": "reviews-v2",
        "service_account": "reviews",
        "labels": LABELS,
        "service": "reviews.shop.svc.cluster.local",
    }
    return Identity(**values | changes)


def test_istiod_can_tell_pod_namespace_and_kind_from_the_node() -> None:
    node = identity().node_message()
    assert node["id"] == "sidecar~10.244.1.7~reviews-v2-1.shop~shop.svc.cluster.local"
    assert node["metadata"]["LABELS"] == LABELS
    assert node["metadata"]["INTERCEPTION_MODE"] == "NONE"
    assert identity(router=True).node_message()["id"].startswith("router~")


def test_every_sidecar_has_a_proxy_port_of_its_own_and_gateways_have_none() -> None:
    ports = {identity(ip=ip).node_message()["metadata"]["HTTP_PROXY_PORT"] for ip in ("10.244.1.7", "10.244.1.8")}
    assert len(ports) == 2
    assert "HTTP_PROXY_PORT" not in identity(router=True).node_message()["metadata"]


def test_nothing_listens_on_an_address_that_other_pods_share() -> None:
    config = bootstrap(identity(), Path("istiod.json"))
    addresses = [config["admin"]["address"], *(listener["address"] for listener in config["static_resources"]["listeners"])]
    assert {address["socket_address"]["address"] for address in addresses} == {"10.244.1.7"}


def test_istiod_is_found_through_a_file_that_can_change() -> None:
    config = bootstrap(identity(), Path("/mesh/istiod.json"))
    xds = config["static_resources"]["clusters"][0]
    assert config["dynamic_resources"]["ads_config"]["grpc_services"][0]["envoy_grpc"]["cluster_name"] == xds["name"]
    assert xds["eds_cluster_config"]["eds_config"]["path_config_source"]["path"] == "/mesh/istiod.json"


def test_the_endpoints_file_names_every_istiod() -> None:
    assignment = endpoints_file(["10.244.0.10:15010", "10.244.0.11:15010"])["resources"][0]
    endpoints = [item["endpoint"]["address"]["socket_address"] for item in assignment["endpoints"][0]["lb_endpoints"]]
    assert endpoints == [{"address": ip, "port_value": 15010} for ip in ("10.244.0.10", "10.244.0.11")]
    assert assignment["cluster_name"] == bootstrap(identity(), Path("f"))["static_resources"]["clusters"][0]["name"]


def test_canonical_names_follow_istios_order_of_labels() -> None:
    assert (identity().canonical_service, identity().canonical_revision) == ("reviews", "v2")
    assert identity(labels={}).canonical_service == "reviews-v2"
    assert identity(labels={}).canonical_revision == "latest"
    named = {"service.istio.io/canonical-name": "a", "app.kubernetes.io/name": "b", "app": "c"}
    assert identity(labels=named).canonical_service == "a"


def test_hot_restart_is_off_because_its_memory_is_shared_by_all_namespaces() -> None:
    assert "--disable-hot-restart" in arguments(Path("envoy"), Path("bootstrap.json"))
