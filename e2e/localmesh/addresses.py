"""Addresses and ports of the mesh, all inside its own network namespace."""

import contextlib
import ipaddress
import secrets
import socket

POD_RANGE = "10.244.0.0/16"
APISERVER_IP = "10.244.0.1"
APISERVER_PORT = 6443
NODE_IP = "10.244.0.2"
KUBELET_PORT = 10250
PROMETHEUS_IP = "10.244.0.3"
PROMETHEUS_PORT = 9090
ETCD_PORT = 2379
SERVICE_RANGE = "10.96.0.0/16"

ISTIOD_IPS = ("10.244.0.10", "10.244.0.11", "10.244.0.12", "10.244.0.13")
ISTIOD_HTTP_PORT = 8080
ISTIOD_XDS_PORT = 15010
ISTIOD_SECURE_XDS_PORT = 15012
ISTIOD_MONITORING_PORT = 15014

ENVOY_ADMIN_PORT = 15000
ENVOY_STATS_PORT = 15090
XDS_RELAY_PORT = 15011
WORKLOAD_PORT = 18080
"""Where a workload behind a sidecar listens; the sidecar owns the Service's port on the same address."""

_FIRST_POD = ipaddress.IPv4Address("10.244.1.1")
_POD_COUNT = 40 * 256
_FIRST_PROXY_PORT = 20000
_FREE_PORTS = range(11_000, 14_000)
PLAYGROUND_GATEWAY_PORT = 31380
"""Listener port of the gateway of the sample that people apply by hand."""
_GATEWAY_PORTS = range(31381, 32381)


class AddressesExhaustedError(Exception):
    """More pods or gateways than the mesh has addresses for."""


def http_proxy_port(pod_ip: str) -> int:
    """The loopback port of a sidecar's HTTP proxy.

    istiod binds it to 127.0.0.1, which all pods of the namespace share, so each pod has a port of its own,
    below the kernel's range for outgoing connections.
    """
    return _FIRST_PROXY_PORT + int(ipaddress.IPv4Address(pod_ip)) - int(_FIRST_POD)


def free_ports(count: int) -> list[int]:
    """Loopback ports that nothing listens on now, below those of proxies and of outgoing connections, for programs beside the mesh."""
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = _FREE_PORTS.start + secrets.randbelow(len(_FREE_PORTS))
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
        return found


class PodAddresses:
    """Hands out pod addresses in turn, so that an address is not soon used again."""

    def __init__(self) -> None:
        self._next = 0
        self._used: set[str] = set()

    def take(self) -> str:
        for _ in range(_POD_COUNT):
            address = str(_FIRST_POD + self._next)
            self._next = (self._next + 1) % _POD_COUNT
            if address not in self._used:
                self._used.add(address)
                return address
        raise AddressesExhaustedError("no pod address is free")

    def free(self, address: str) -> None:
        self._used.discard(address)


class GatewayPorts:
    """Hands out listener ports for gateways.

    istiod binds gateway listeners to every address of the network namespace, which all gateways share.
    """

    def __init__(self) -> None:
        self._ports = iter(_GATEWAY_PORTS)

    def take(self) -> int:
        try:
            return next(self._ports)
        except StopIteration:
            raise AddressesExhaustedError("no gateway port is free") from None
