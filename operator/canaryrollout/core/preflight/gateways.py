"""The Gateways that a VirtualService is bound to. A delegate has none of its own."""

from collections.abc import Iterator

from canaryrollout.core import virtual_services as vs
from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preflight.inputs import subject_of
from canaryrollout.core.preflight.kinds import Check, Kind
from canaryrollout.core.preflight.view import MESH, View, bound_to, key_of, listed, matches_wildcard, qualified
from canaryrollout.core.shapes import mapping, mappings, texts
from canaryrollout.core.snapshot import Raw
from canaryrollout.core.surroundings import namespace_of

ABSENT = Kind(
    "GatewayNotFound",
    Severity.WARNING,
    "the VirtualService is bound to a Gateway that does not exist: no request comes in that way",
    "correct the name (NAMESPACE/NAME where it is in another namespace), or create the Gateway",
    analyze=("IST0101", "IST0132"),
)
UNSERVED = Kind(
    "HostNotOnGateway",
    Severity.WARNING,
    "no server of the Gateway takes any host of the VirtualService: no request comes in that way. A short name counts as the Service's "
    "full one, which no client of a gateway asks for",
    "add the host to a server of the Gateway, or write the host that clients ask for into the VirtualService",
    analyze=("IST0132",),
)
SHARED = Kind(
    "GatewayHostShared",
    Severity.INFO,
    "another VirtualService has the same host on the same Gateway: Istio joins their routes in no promised order",
    "merge the two, or keep their matches apart",
)


def gateways_exist(view: View) -> Iterator[Finding]:
    """Those of the VirtualService, and those that its matches single out."""
    if view.virtual_service is None:
        return
    known = {key_of(gateway) for gateway in view.around.gateways}
    places = {name: "spec.gateways" for name in bound_to(view.virtual_service)}
    for index, route in enumerate(vs.http_routes(view.virtual_service)):
        for match in mappings(route.get("match")):
            for name in texts(match.get("gateways")):
                places.setdefault(qualified(name, view.namespace), f"spec.http[{index}].match")
    for name, path in places.items():
        if name != MESH and name not in known:
            yield ABSENT.found(f"Gateway {name} does not exist", subject_of(view.virtual_service), path)


def hosts_are_served(view: View) -> Iterator[Finding]:
    """Each Gateway against all hosts of the VirtualService: one that is served is enough."""
    if view.virtual_service is None:
        return
    wanted = set(bound_to(view.virtual_service))
    hosts = [_full(view, host) for host in texts(mapping(view.virtual_service.get("spec")).get("hosts"))]
    for gateway in view.around.gateways:
        if key_of(gateway) in wanted and hosts and not any(_serves(gateway, host, view.namespace) for host in hosts):
            said = f"Gateway {key_of(gateway)} serves none of the hosts {listed(hosts)}"
            yield UNSERVED.found(said, subject_of(view.virtual_service), "spec.hosts")


def hosts_are_not_shared(view: View) -> Iterator[Finding]:
    """Other VirtualServices with one of the hosts on one of the Gateways."""
    own = view.virtual_service
    if own is None:
        return
    gateways, hosts = set(bound_to(own)) - {MESH}, {_full(view, host) for host in texts(mapping(own.get("spec")).get("hosts"))}
    for other in (*view.given.snapshot.mesh.virtual_services, *view.around.virtual_services):
        both = hosts & set(texts(mapping(other.get("spec")).get("hosts")))
        if other is not own and both and gateways & set(bound_to(other)):
            yield SHARED.found(f"{subject_of(other)} has host {listed(both)} on the same Gateway", subject_of(own), "spec.hosts")


def _full(view: View, host: str) -> str:
    """A host without dots is the Service of that name in the VirtualService's own namespace."""
    return host if "." in host or "*" in host else f"{host}.{view.namespace}.svc.{view.host.cluster_domain}"


def _serves(gateway: Raw, host: str, namespace: str) -> bool:
    for server in mappings(mapping(gateway.get("spec")).get("servers")):
        for offered in texts(server.get("hosts")):
            scope, _, name = offered.rpartition("/")
            reaches = scope in ("", "*", namespace) or (scope == "." and namespace_of(gateway) == namespace)
            if reaches and (matches_wildcard(host, name) or matches_wildcard(name, host)):
                return True
    return False


CHECKS = (
    Check(gateways_exist, (ABSENT,), needs=("Gateway",)),
    Check(hosts_are_served, (UNSERVED,), wants=("Gateway",)),
    Check(hosts_are_not_shared, (SHARED,), wants=("VirtualService",)),
)
