"""Addresses: no two pods or gateways may share what they listen on."""

import pytest
from localmesh.addresses import AddressesExhaustedError, GatewayPorts, PodAddresses, http_proxy_port


def test_pods_get_different_addresses_and_proxy_ports() -> None:
    pods = PodAddresses()
    taken = [pods.take() for _ in range(600)]
    assert len(set(taken)) == 600
    assert len({http_proxy_port(ip) for ip in taken}) == 600


def test_a_freed_address_is_not_handed_out_again_at_once() -> None:
    pods = PodAddresses()
    first = pods.take()
    pods.free(first)
    assert pods.take() != first


def test_all_addresses_can_be_taken_and_then_none() -> None:
    pods = PodAddresses()
    taken: list[str] = []
    with pytest.raises(AddressesExhaustedError):
        while True:
            taken.append(pods.take())
    assert len(set(taken)) == len(taken)
    pods.free(taken[17])
    assert pods.take() == taken[17]


def test_proxy_ports_stay_below_the_range_of_outgoing_connections() -> None:
    pods = PodAddresses()
    assert all(20000 <= http_proxy_port(pods.take()) < 31380 for _ in range(10240))


def test_gateways_get_different_ports() -> None:
    ports = GatewayPorts()
    taken = [ports.take() for _ in range(1000)]
    assert len(set(taken)) == 1000
    assert max(taken) < 32768
    with pytest.raises(AddressesExhaustedError):
        ports.take()
