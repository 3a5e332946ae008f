"""Where the service's traffic really goes in the routes that move, whoever wrote them."""

from collections.abc import Iterator
from dataclasses import dataclass

from canaryrollout.api.status import Routing
from canaryrollout.core import destination_rules as dr
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.plan import named
from canaryrollout.core.shapes import mappings, text
from canaryrollout.core.snapshot import MeshObjects, Raw


@dataclass(frozen=True, slots=True)
class Routes:
    """The live routes that `routing` records; `label` tells versions apart."""

    routing: Routing
    label: str
    host: ServiceHost
    mesh: MeshObjects

    @property
    def service(self) -> Raw | None:
        """The VirtualService."""
        return named(self.mesh.virtual_services, self.routing.virtual_service)

    @property
    def rule(self) -> Raw | None:
        """The DestinationRule."""
        return named(self.mesh.destination_rules, self.routing.destination_rule)


@dataclass(frozen=True, slots=True)
class _Live:
    """One route's destinations of the service that get requests: (subset, its version if it selects one, weight)."""

    shares: tuple[tuple[str, str | None, int], ...]
    total: int


def unproved(routes: Routes, canary: str, weight: int) -> bool:
    """Whether some moving route gives the version `canary` more than `weight` percent, or requests to nobody knows what.

    The latter are a plain host (any pod of the Service), a subset that selects no version or is not there (503), and a
    VirtualService that is gone.
    """
    if routes.service is None:
        return True
    for live in _live(routes):
        if any(version is None for _, version, _ in live.shares):
            return True
        if sum(share for _, version, share in live.shares if version == canary) > round(live.total * weight / 100):
            return True
    return False


def failing(routes: Routes) -> bool:
    """Whether some moving route sends requests to a subset that is not there: they are answered with 503."""
    known = {text(subset.get("name")) for subset in dr.subsets(routes.rule)}
    return any(subset and subset not in known for live in _live(routes) for subset, _, _ in live.shares)


def _live(routes: Routes) -> Iterator[_Live]:
    service = routes.service
    if service is None:
        return
    moving = {record.key for record in routes.routing.routes}
    for key, route in zip(vs.route_keys(service), vs.http_routes(service), strict=True):
        entries = mappings(route.get("route"))
        ours = vs.service_entries(service, route, routes.host) if key in moving else []
        weighed = [(vs.subset_of(entry), vs.weight_of(entry, entries)) for _, entry in ours]
        shares = tuple((subset, dr.version_of(routes.rule, routes.label, subset), share) for subset, share in weighed if share > 0)
        yield _Live(shares, 100 if len(ours) == len(entries) else sum(share for _, share in weighed))
