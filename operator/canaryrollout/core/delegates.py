"""Delegates: a VirtualService without hosts, whose routes take effect where root VirtualServices delegate to it.

Seen with istiod 1.31 and Envoy: the routes show wherever a root applies, in gateways and in sidecars, under the *root's* name in the
route's metadata (filter_metadata.istio.config) and never under the delegate's; a root may live in another namespace, as far as
the proxies see it; a delegate without a root shows nowhere. Istio drops a delegate's route whose matches conflict with its root's.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from canaryrollout.core.shapes import mapping
from canaryrollout.core.snapshot import Raw
from canaryrollout.core.virtual_services import http_routes


def is_delegate(virtual_service: Raw) -> bool:
    """Whether it has no hosts of its own."""
    return not mapping(virtual_service.get("spec")).get("hosts")


def identity(virtual_service: Raw) -> tuple[str, str]:
    """(namespace, name)."""
    return str(virtual_service["metadata"].get("namespace", "")), str(virtual_service["metadata"]["name"])


def target_of(route: Mapping[str, Any], root_namespace: str) -> tuple[str, str] | None:
    """(namespace, name) of the delegate of a root's route; without a namespace it is the root's own."""
    found = route.get("delegate")
    if not isinstance(found, Mapping) or not found.get("name"):
        return None
    return str(found.get("namespace") or root_namespace), str(found["name"])


def roots_of(delegate: Raw, virtual_services: Iterable[Raw]) -> tuple[Raw, ...]:
    """The VirtualServices that delegate to it, by namespace and name. Istio knows one level only: a delegate is no root."""
    wanted = identity(delegate)
    found = {
        identity(root): root
        for root in virtual_services
        if not is_delegate(root) and any(target_of(route, identity(root)[0]) == wanted for route in http_routes(root))
    }
    return tuple(found[key] for key in sorted(found))


def delegating_routes(root: Raw, delegate: Raw) -> Iterator[Mapping[str, Any]]:
    """The routes of a root that delegate to it."""
    for route in http_routes(root):
        if target_of(route, identity(root)[0]) == identity(delegate):
            yield route
