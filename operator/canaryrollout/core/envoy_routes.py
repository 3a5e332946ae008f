"""What Envoy shows of a VirtualService: the splits to look for in the proxies once it is written, and who gets to see it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from canaryrollout.core.delegates import delegating_routes, identity, is_delegate, roots_of, target_of
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.shapes import mapping, mappings, text, texts
from canaryrollout.core.snapshot import Raw
from canaryrollout.core.virtual_services import Entry, applies_to_host, http_routes, service_entries, subset_of, weight_of

EnvoySplit = tuple[tuple[str, str, int], ...]
"""Sorted (host FQDN, subset, weight)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How the proxies show a VirtualService's routes to a service."""

    allowed: tuple[EnvoySplit, ...]
    required: tuple[EnvoySplit, ...]
    sources: tuple[tuple[str, str], ...]
    """(namespace, name) of the VirtualServices under whose names they appear: a delegate's routes under its roots'."""
    sidecars: bool
    """Whether sidecars must have them in place of Istio's default routes to the service's own host."""
    visible_in: tuple[str, ...]
    """The namespaces whose proxies see them; empty: all."""


def shown(virtual_service: Raw, host: ServiceHost, others: Iterable[Raw] = (), recorded: Iterable[tuple[str, str]] = ()) -> Shown:
    """How the proxies show it. `others` are all VirtualServices in sight, `recorded` are roots that were in sight before."""
    allowed, required = expected_splits(virtual_service, host)
    if not is_delegate(virtual_service):
        sidecars = applies_to_host(virtual_service, host)
        return Shown(allowed, required, (identity(virtual_service),), sidecars, visible_in(virtual_service))
    known = {identity(other): other for other in others}
    roots = roots_of(virtual_service, known.values())
    places = [visible_in(root) for root in roots]
    return Shown(
        tuple(sorted({*allowed, *(split for root in roots for split in _beside(root, virtual_service, host, known))})),
        required if roots and all(_passes_everything(root, virtual_service) for root in roots) else (),
        tuple(sorted({*recorded, *(identity(root) for root in roots)})),
        any(applies_to_host(root, host) and _passes_everything(root, virtual_service) for root in roots),
        tuple(sorted({name for place in places for name in place})) if all(places) else (),
    )


def _beside(root: Raw, delegate: Raw, host: ServiceHost, known: Mapping[tuple[str, str], Raw]) -> Iterable[EnvoySplit]:
    """The splits of the service that a root shows without this delegate: its own routes', and those of other delegates."""
    yield from expected_splits(root, host)[0]
    for route in http_routes(root):
        target = target_of(route, identity(root)[0])
        if target is not None and target != identity(delegate) and target in known:
            yield from expected_splits(known[target], host)[0]


def _passes_everything(root: Raw, delegate: Raw) -> bool:
    """Whether all of a delegate's routes surely reach every proxy of a root: no match of the root's can conflict with theirs."""
    shadowed = False
    for route in http_routes(root):
        if not shadowed and target_of(route, identity(root)[0]) == identity(delegate) and not route.get("match"):
            return True
        shadowed = shadowed or _catches_all(route)
    plain = all(not route.get("match") for route in http_routes(delegate))
    matches = [match for route in delegating_routes(root, delegate) for match in mappings(route.get("match"))]
    return plain and not shadowed and any(not set(match) & _PROXY_SPECIFIC for match in matches)


def expected_splits(virtual_service: Raw, host: ServiceHost) -> tuple[tuple[EnvoySplit, ...], tuple[EnvoySplit, ...]]:
    """What Envoy may show for the HTTP routes that involve the service, and what it must show: (allowed, required).

    A split is (host, subset, weight) of each destination; weight 0 is left out, as Envoy omits it where others remain
    (measured with istiod 1.31). Not required is what only some proxies get (matches by source, gateway or port), and
    what follows a route that catches everything, where Istio stops.
    """
    namespace = virtual_service["metadata"]["namespace"]
    allowed, required, shadowed = set(), set(), False
    for route in http_routes(virtual_service):
        entries = mappings(route.get("route"))
        if service_entries(virtual_service, route, host):
            weighted = ((entry, weight_of(entry, entries)) for entry in entries)
            split = tuple(sorted((_fqdn(entry, namespace, host), subset_of(entry), weight) for entry, weight in weighted if weight > 0))
            allowed.add(split)
            if not shadowed and any(not set(match) & _PROXY_SPECIFIC for match in mappings(route.get("match")) or [{}]):
                required.add(split)
        shadowed = shadowed or _catches_all(route)
    return tuple(sorted(allowed)), tuple(sorted(required))


_PROXY_SPECIFIC = frozenset({"sourceLabels", "sourceNamespace", "gateways", "port"})


def _catches_all(route: Mapping[str, Any]) -> bool:
    matches: list[Mapping[str, Any]] = mappings(route.get("match")) or [{}]
    return any(set(match) <= {"name", "uri"} and (match.get("uri") or {"prefix": "/"}) == {"prefix": "/"} for match in matches)


def visible_in(virtual_service: Raw) -> tuple[str, ...]:
    """The namespaces whose proxies see it; empty: all."""
    exported = texts(mapping(virtual_service.get("spec")).get("exportTo")) or ["*"]
    own = str(virtual_service["metadata"]["namespace"])
    return () if "*" in exported else tuple(sorted(own if name == "." else name for name in exported))


def _fqdn(entry: Entry, namespace: str, host: ServiceHost) -> str:
    name = text(mapping(entry.get("destination")).get("host"))
    if host.matches(name, namespace):
        return host.fqdn
    return name if "." in name else ServiceHost(name, namespace, host.cluster_domain).fqdn
