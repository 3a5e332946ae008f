"""What Envoy shows of a VirtualService: the splits to look for in the proxies once it is written, and who gets to see it."""

from collections.abc import Mapping
from typing import Any

from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.snapshot import Raw
from canaryrollout.core.virtual_services import Entry, http_routes, service_entries, subset_of, weight_of

EnvoySplit = tuple[tuple[str, str, int], ...]
"""Sorted (host FQDN, subset, weight)."""


def expected_splits(virtual_service: Raw, host: ServiceHost) -> tuple[tuple[EnvoySplit, ...], tuple[EnvoySplit, ...]]:
    """What Envoy may show for the HTTP routes that involve the service, and what it must show: (allowed, required).

    A split is (host, subset, weight) of each destination; weight 0 is left out, as Envoy omits it where others remain
    (measured with istiod 1.31). Not required is what only some proxies get (matches by source, gateway or port), and
    what follows a route that catches everything, where Istio stops.
    """
    namespace = virtual_service["metadata"]["namespace"]
    allowed, required, shadowed = set(), set(), False
    for route in http_routes(virtual_service):
        entries = list(route.get("route") or [])
        if service_entries(virtual_service, route, host):
            weighted = ((entry, weight_of(entry, entries)) for entry in entries)
            split = tuple(sorted((_fqdn(entry, namespace, host), subset_of(entry), weight) for entry, weight in weighted if weight > 0))
            allowed.add(split)
            if not shadowed and any(not set(match) & _PROXY_SPECIFIC for match in route.get("match") or [{}]):
                required.add(split)
        shadowed = shadowed or _catches_all(route)
    return tuple(sorted(allowed)), tuple(sorted(required))


_PROXY_SPECIFIC = frozenset({"sourceLabels", "sourceNamespace", "gateways", "port"})


def _catches_all(route: Mapping[str, Any]) -> bool:
    matches = route.get("match") or [{}]
    return any(set(match) <= {"name", "uri"} and (match.get("uri") or {"prefix": "/"}) == {"prefix": "/"} for match in matches)


def visible_in(virtual_service: Raw) -> tuple[str, ...]:
    """The namespaces whose proxies see it; empty: all."""
    exported = virtual_service.get("spec", {}).get("exportTo") or ["*"]
    own = str(virtual_service["metadata"]["namespace"])
    return () if "*" in exported else tuple(sorted(own if name == "." else str(name) for name in exported))


def _fqdn(entry: Entry, namespace: str, host: ServiceHost) -> str:
    name = str(entry.get("destination", {}).get("host", ""))
    if host.matches(name, namespace):
        return host.fqdn
    return name if "." in name else ServiceHost(name, namespace, host.cluster_domain).fqdn
