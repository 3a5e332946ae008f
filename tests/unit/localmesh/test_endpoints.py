"""Endpoints as the API server and as an Envoy have them."""

from typing import Any

from localmesh.endpoints import healthy_endpoints, ready_endpoints

HOST = "reviews.shop.svc.cluster.local"


def endpoint(address: str, ready: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": {"ready": ready}}


def host(address: str, health: str | None) -> dict[str, Any]:
    status = {"eds_health_status": health} if health else {}
    return {"address": {"socket_address": {"address": address, "port_value": 9080}}, "health_status": status}


def test_only_ready_endpoints_count() -> None:
    meta = {"namespace": "shop", "labels": {"kubernetes.io/service-name": "reviews"}}
    slices = [
        {"metadata": meta, "endpoints": [endpoint("10.244.1.1", True), endpoint("10.244.1.2", False)]},
        {"metadata": meta, "endpoints": None},
    ]
    assert ready_endpoints(slices) == {HOST: {"10.244.1.1"}}


def test_only_healthy_hosts_of_whole_services_count() -> None:
    hosts = [host("10.244.1.1", "HEALTHY"), host("10.244.1.2", "UNHEALTHY"), host("10.244.1.3", None)]
    statuses = [
        {"name": f"outbound|80||{HOST}", "host_statuses": hosts},
        {"name": f"outbound|80|v1|{HOST}", "host_statuses": [host("10.244.9.9", "HEALTHY")]},
        {"name": "inbound|9080||", "host_statuses": hosts},
        {"name": "xds-grpc"},
    ]
    assert healthy_endpoints({"cluster_statuses": statuses}) == {HOST: {"10.244.1.1", "10.244.1.3"}}
