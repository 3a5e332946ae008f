"""Gateways of the VirtualService."""

from typing import Any

import pytest
from scene import FQDN, Scene, item, said, to

GATEWAYS = ["edge/public", "mesh"]
HOSTS = ["shop.example.com"]


def gateway(*hosts: str, name: str = "public", namespace: str = "edge") -> dict[str, Any]:
    return item("Gateway", name, namespace, selector={"app": "gateway"}, servers=[{"hosts": list(hosts)}])


def test_a_gateway_that_does_not_exist_is_named() -> None:
    assert said(gateways=GATEWAYS, hosts=HOSTS) == [("GatewayNotFound", "warning", "spec.gateways")]
    assert said(gateways=GATEWAYS, hosts=HOSTS, others=[gateway("*")]) == []


def test_a_name_without_namespace_is_one_of_the_virtual_service_s_own() -> None:
    assert said(gateways=["public"], hosts=HOSTS, others=[gateway("*")]) == [("GatewayNotFound", "warning", "spec.gateways")]
    assert said(gateways=["public"], hosts=HOSTS, others=[gateway("*", namespace="shop")]) == []


def test_gateways_of_matches_count_too() -> None:
    http = [{"match": [{"gateways": ["edge/private"]}], "route": [to("v1")]}, {"route": [to("v1")]}]
    assert said(http=http) == [("GatewayNotFound", "warning", "spec.http[0].match")]


@pytest.mark.parametrize(
    ("offered", "served"),
    [
        ("*", True),
        ("shop.example.com", True),
        ("*.example.com", True),
        ("shop/shop.example.com", True),
        ("*/*.example.com", True),
        ("./*", False),
        ("other/*", False),
        ("*.example.org", False),
        ("www.example.com", False),
    ],
)
def test_a_gateway_has_to_serve_one_of_the_hosts(offered: str, served: bool) -> None:
    found = said(gateways=GATEWAYS, hosts=HOSTS, others=[gateway(offered)])
    assert found == [] if served else found == [("HostNotOnGateway", "warning", "spec.hosts")]


def test_a_short_host_is_not_what_clients_of_a_gateway_ask_for() -> None:
    found = Scene(gateways=GATEWAYS, others=[gateway("shop.example.com")]).findings()
    assert [(f.code, FQDN in f.message) for f in found] == [("HostNotOnGateway", True)]


def test_without_all_gateways_none_is_said_to_be_missing() -> None:
    scene = Scene(gateways=GATEWAYS, hosts=HOSTS, unreadable=("Gateway",))
    assert scene.findings() == ()
    assert "GatewayNotFound: Gateway could not be read" in scene.skipped()
    assert "HostNotOnGateway: Gateway could be read in part only" in scene.skipped()


def test_a_host_on_the_same_gateway_in_another_virtual_service_is_information() -> None:
    other = item("VirtualService", "other", "edge", hosts=HOSTS, gateways=["public"], http=[])
    assert said(gateways=GATEWAYS, hosts=HOSTS, others=[gateway("*"), other]) == [("GatewayHostShared", "info", "spec.hosts")]
    other["spec"]["gateways"] = ["private"]
    assert said(gateways=GATEWAYS, hosts=HOSTS, others=[gateway("*"), other]) == []
