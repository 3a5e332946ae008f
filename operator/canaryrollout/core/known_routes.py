"""The routes of a rollout in a VirtualService that people edit meanwhile: which of those that are live now are they.

A route is known by its key, as long as it is there. One that is missing is known by what it was last known as, its *pin* (key and
matches), and by the canary's share that it still carries: both under another name or match, and when it comes back after a while.
These are two ways to lose sight of one and the same thing, so there is one question: is this live route a missing one?
"""

from collections.abc import Collection
from dataclasses import dataclass

from canaryrollout.api.status import RouteRecord, Routing
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.memory import Memory
from canaryrollout.core.route_rule import Route, Why, moving_routes, record_of, routes_of
from canaryrollout.core.snapshot import Raw
from canaryrollout.core.virtual_services import route_keys


def pin(key: str, match: str) -> str:
    """A route as the status keeps it at rest: its key, and the digest of its matches ("" for none)."""
    return f"{key}|{match}"


def key_of(pinned: str) -> str:
    """The key in a pin."""
    return pinned.rpartition("|")[0]


def _match_of(pinned: str) -> str:
    return pinned.rpartition("|")[2]


def tracked(virtual_service: Raw, host: ServiceHost, routing: Routing) -> tuple[RouteRecord, ...]:
    """The recorded routes that are still there, and those that came up since: new ones that move by the same rule, and missing
    ones, which would otherwise keep the canary's share through a rollback."""
    return _TRACKED((virtual_service, routing), (host,))


def _tracked(same: tuple[Raw, Routing], alike: tuple[ServiceHost]) -> tuple[RouteRecord, ...]:
    (virtual_service, routing), (host,) = same, alike
    stable, canary, keys = routing.stable_subset, routing.canary_subset, set(route_keys(virtual_service))
    kept = {record.key: record for record in routing.routes if record.key in keys}
    moving = moving_routes(virtual_service, host, stable, canary, routing.only_routes)
    fresh = {record.key: record for record in moving if record.key not in kept}
    missing = _missing(routing, kept)
    for route in routes_of(virtual_service, host) if missing is not None else ():
        if missing is not None and route.key not in kept and missing.includes(route):
            fresh.setdefault(route.key, record_of(route, canary, Why.STABLE_AND_CANARY))
    # A destination of a subset that the operator added cannot be older than the rollout.
    added = (record.model_copy(update={"added": record.added or routing.added_canary_subset}) for record in fresh.values())
    return (*kept.values(), *added)


_TRACKED = Memory(_tracked)


@dataclass(frozen=True, slots=True)
class _Missing:
    """What is known of the rollout's routes that are not there under their keys."""

    routing: Routing
    edited: bool
    """Whether one went in this very pass, or all did: what it became may have another name and another match."""
    matches: frozenset[str]
    """Of those that went in this very pass, as far as they were known at rest."""
    away: frozenset[str]
    """Pins of those that were known at rest: one that is missing for a while is recorded no longer, and may come back."""

    def includes(self, route: Route) -> bool:
        """Whether a route without a record is one of them.

        It may be all on the canary by now; stable's destination tells it from a pinned route, and where stable has left, its match.
        """
        if {self.routing.stable_subset, self.routing.canary_subset} <= route.named:
            # An edited one's new name need not be among those that may move: what carries the canary's share has to come back.
            return self.edited or (pin(route.key, route.match) in self.away and self._may_move(route))
        return route.named == {self.routing.canary_subset} and route.match in self.matches

    def _may_move(self, route: Route) -> bool:
        return self.routing.only_routes is None or route.name in self.routing.only_routes


def _missing(routing: Routing, kept: Collection[str]) -> _Missing | None:
    """None where every known route is there."""
    gone = {record.key for record in routing.routes} - set(kept)
    edited = bool(gone) or not routing.routes  # without any, one that went before may be given back
    away = frozenset(pinned for pinned in routing.pinned if key_of(pinned) not in kept)
    matches = frozenset(_match_of(pinned) for pinned in away if key_of(pinned) in gone)
    return _Missing(routing, edited, matches, away) if edited or away else None
