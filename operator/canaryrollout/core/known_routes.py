"""The routes of a rollout in a VirtualService that people edit meanwhile: which of those that are live now are they.

A route is known by its key, as long as it is there. Its *pins* (its key and matches, as often as they were seen) are kept for the
whole rollout: by them, and by the canary's share that it still carries, a missing one is known again, under another name or match
and after any time. What was seen beside the rollout's routes is other people's, whatever becomes of those.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from canaryrollout.api.status import ROUTES_LIMIT, Routing
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.memory import Memory
from canaryrollout.core.route_rule import Route, Why, moving_routes, record_of, routes_of
from canaryrollout.core.snapshot import Raw


def pin(key: str, match: str) -> str:
    """A route as the status keeps it: its key, and the digest of its matches ("" for none)."""
    return f"{key}|{match}"


def key_of(pinned: str) -> str:
    """The key in a pin."""
    return pinned.rpartition("|")[0]


def _match_of(pinned: str) -> str:
    return pinned.rpartition("|")[2]


def _unnumbered(pinned: str) -> str:
    """The pin without the number of a repeated name: it says only how many of that name come before."""
    key, _, digest = pinned.rpartition("|")
    name, numbered, number = key.rpartition("#")
    return pin(name if numbered and number.isdigit() else key, digest)


def away(pins: Collection[str], there: Collection[str]) -> frozenset[str]:
    """Those of the pins that are not there: neither their key nor their match is in a pin of `there`."""
    keys, matches = {key_of(found) for found in there}, {_match_of(found) for found in there}
    return frozenset(known for known in pins if key_of(known) not in keys and _match_of(known) not in matches)


def tracked(virtual_service: Raw, host: ServiceHost, routing: Routing) -> Routing:
    """The routing with the recorded routes that are still there, and those that came up since: new ones that move by the same
    rule, and missing ones, which would otherwise keep the canary's share through a rollback. The same object where nothing is new."""
    return _TRACKED((virtual_service, routing), (host,))


def _tracked(same: tuple[Raw, Routing], alike: tuple[ServiceHost]) -> Routing:
    (virtual_service, routing), (host,) = same, alike
    stable, canary = routing.stable_subset, routing.canary_subset
    routes = {route.key: route for route in routes_of(virtual_service, host)}
    others = frozenset(map(_unnumbered, routing.others or ())) - frozenset(map(_unnumbered, routing.pinned))
    shifted = {key for key, route in routes.items() if _unnumbered(pin(key, route.match)) in others}  # to the key of one that has gone
    kept = {record.key: record for record in routing.routes if record.key in routes and record.key not in shifted}
    moving = moving_routes(virtual_service, host, stable, canary, routing.only_routes)
    fresh = {record.key: record for record in moving if record.key not in kept}
    missing = _missing(routing, routes, kept)
    for key, route in routes.items():
        if missing is not None and key not in kept and missing.includes(route):
            fresh.setdefault(key, record_of(route, canary, Why.STABLE_AND_CANARY))
    # A destination of a subset that the operator added cannot be older than the rollout.
    added = (record.model_copy(update={"added": record.added or routing.added_canary_subset}) for record in fresh.values())
    records = (*kept.values(), *added)[:ROUTES_LIMIT]
    mine = {record.key for record in records}
    pins = [pin(record.key, routes[record.key].match) for record in records]
    before = [known for known in routing.pinned if known not in pins]
    seen = {
        "routes": records,
        "pinned": (*before, *pins)[-ROUTES_LIMIT:],  # too many: without the oldest
        "others": tuple(pin(key, route.match) for key, route in routes.items() if key not in mine and canary in route.named)[:ROUTES_LIMIT],
    }
    return routing if all(getattr(routing, name) == value for name, value in seen.items()) else routing.model_copy(update=seen)


_TRACKED = Memory(_tracked)


@dataclass(frozen=True, slots=True)
class _Missing:
    """What is known of the rollout's routes that are not there under their keys."""

    routing: Routing
    edited: bool
    """Whether one went in this very pass, or all did: what it became may have another name and another match."""
    pins: frozenset[str]
    strangers: frozenset[str]
    """Pins of routes that were seen beside the rollout's."""

    def includes(self, route: Route) -> bool:
        """Whether a route without a record is one of them.

        It may be all on the canary by now; stable's destination tells it from a pinned route, and where stable has left, its match.
        """
        same_match = route.match in {_match_of(known) for known in self.pins}
        if _unnumbered(pin(route.key, route.match)) in map(_unnumbered, self.strangers):
            return False
        if route.key in {key_of(other) for other in self.strangers} and not same_match:  # two may have one name
            return False
        if {self.routing.stable_subset, self.routing.canary_subset} <= route.named:
            # Its new name need not be among those that may move: what carries the canary's share has to come back.
            return self.edited or same_match or route.key in {key_of(known) for known in self.pins}
        return route.named == {self.routing.canary_subset} and same_match


def _missing(routing: Routing, routes: Mapping[str, Route], kept: Collection[str]) -> _Missing | None:
    """None where every known route is there."""
    went = len(kept) < len(routing.routes)
    pins = away(routing.pinned, [pin(key, routes[key].match) for key in kept])
    strangers = routing.others
    if strangers is None:  # nobody has looked yet: what is there beside the rollout's is not its, unless something went meanwhile
        strangers = () if went else tuple(pin(key, route.match) for key, route in routes.items())
    edited = went or not routing.routes  # without any, one that went before may be given back
    return _Missing(routing, edited, pins, frozenset(strangers)) if edited or pins else None
