"""TCP and TLS routes: connections that no HTTP metric counts, so that no verdict could be reached about them. They never move."""

from dataclasses import dataclass

from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.shapes import mapping, mappings
from canaryrollout.core.snapshot import Raw

KINDS = ("tcp", "tls")


@dataclass(frozen=True, slots=True)
class OpaqueDestination:
    """A destination of the service in a TCP or TLS route, whatever its weight."""

    virtual_service: str
    path: str
    """Such as "spec.tcp[0].route[1]"."""
    subset: str
    """ "" for the plain host."""


def opaque_destinations(virtual_service: Raw, host: ServiceHost) -> tuple[OpaqueDestination, ...]:
    """The service's destinations in TCP and TLS routes."""
    metadata = virtual_service["metadata"]
    return tuple(
        OpaqueDestination(str(metadata["name"]), f"spec.{kind}[{number}].route[{position}]", str(destination.get("subset") or ""))
        for kind in KINDS
        for number, route in enumerate(mappings(mapping(virtual_service.get("spec")).get(kind)))
        for position, entry in enumerate(mappings(route.get("route")))
        for destination in [mapping(entry.get("destination"))]
        if host.matches(str(destination.get("host") or ""), metadata["namespace"])
    )
