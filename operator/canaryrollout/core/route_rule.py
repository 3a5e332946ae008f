"""The written rule: which HTTP routes of a VirtualService move with a rollout, and why the others stay.

A route moves when all of the service's traffic in it goes to stable, or to stable and the canary; a destination without a subset
(plain host) counts as stable and is narrowed to stable's subset first. A route that somebody pinned to the canary or to another
version stays, and so does everything that spec.virtualService.routes does not name, where it names any. The rule is applied once,
when a rollout begins; the status keeps the answer.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from canaryrollout.api.status import RouteRecord, Routing
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.memory import Memory
from canaryrollout.core.shapes import mappings
from canaryrollout.core.snapshot import Raw
from canaryrollout.core.virtual_services import (
    Entry,
    http_routes,
    match_digest,
    route_keys,
    service_entries,
    subset_of,
    weight_of,
    weightless,
)


class Why(StrEnum):
    """Why a route moves or stays."""

    STABLE = "Stable"
    STABLE_AND_CANARY = "StableAndCanary"
    PLAIN_HOST = "PlainHost"
    NOT_LISTED = "NotListed"
    OTHER_TRAFFIC = "OtherTraffic"
    DELEGATED = "Delegated"
    NO_TRAFFIC = "NoTraffic"
    PINNED_TO_CANARY = "PinnedToCanary"
    PINNED_ELSEWHERE = "PinnedElsewhere"


MOVING = frozenset({Why.STABLE, Why.STABLE_AND_CANARY, Why.PLAIN_HOST})

_SENTENCES = {
    Why.STABLE: "moves: all of the service's traffic in it goes to stable",
    Why.STABLE_AND_CANARY: "moves: the service's traffic in it is split between stable and the canary",
    Why.PLAIN_HOST: "moves: a destination in it names no subset and is narrowed to stable's first",
    Why.NOT_LISTED: "stays: spec.virtualService.routes does not name it",
    Why.OTHER_TRAFFIC: "stays: it has no destination of the service",
    Why.DELEGATED: "stays: it delegates; the routes of the delegate carry the weights",
    Why.NO_TRAFFIC: "stays: the service's destinations in it have no weight",
    Why.PINNED_TO_CANARY: "stays: it is pinned to the canary",
    Why.PINNED_ELSEWHERE: "stays: it sends traffic of the service to subset {others}",
}


@dataclass(frozen=True, slots=True)
class RouteVerdict:
    """What the rule says about one route."""

    key: str
    """As in RouteRecord.key."""
    why: Why
    others: tuple[str, ...] = ()
    """The subsets other than stable's and the canary's that get traffic."""
    name: str = ""
    """The route's own name; "" where it has none."""

    @property
    def moves(self) -> bool:
        """Whether the route moves."""
        return self.why in MOVING

    @property
    def explanation(self) -> str:
        """A sentence without a subject: "moves: ..." or "stays: ..."."""
        return _SENTENCES[self.why].format(others=", ".join(repr(subset) for subset in self.others))

    @property
    def label(self) -> str:
        """The route as messages name it."""
        return f"route {self.name!r}" if self.name else f"route {self.key}"


def explain_routes(
    virtual_service: Raw, host: ServiceHost, stable: str, canary: str, wanted: tuple[str, ...] | None = None
) -> tuple[RouteVerdict, ...]:
    """What the rule says about every HTTP route, in order. `wanted` are the names that may move; None: all."""
    return tuple(_verdict(route, stable, canary, wanted) for route in _routes(virtual_service, host))


@dataclass(frozen=True, slots=True)
class _Route:
    key: str
    name: str
    delegates: bool
    entries: list[Entry]
    ours: list[tuple[int, Entry]]
    match: str
    """Digest of its matches."""

    @property
    def live(self) -> set[str]:
        """The subsets ("" for the plain host) that get traffic of the service."""
        return {subset_of(entry) for _, entry in self.ours if weight_of(entry, self.entries) > 0}


def _routes(virtual_service: Raw, host: ServiceHost) -> Iterator[_Route]:
    for key, route in zip(route_keys(virtual_service), http_routes(virtual_service), strict=True):
        entries = mappings(route.get("route"))
        ours = service_entries(virtual_service, route, host)
        yield _Route(key, str(route.get("name") or ""), bool(route.get("delegate")), entries, ours, match_digest(route))


def _verdict(route: _Route, stable: str, canary: str, wanted: tuple[str, ...] | None) -> RouteVerdict:
    why, others = _why(route, stable, canary)
    if why in MOVING and wanted is not None and route.name not in wanted:
        why = Why.NOT_LISTED
    return RouteVerdict(route.key, why, others, route.name)


def _why(route: _Route, stable: str, canary: str) -> tuple[Why, tuple[str, ...]]:
    if not route.ours:
        return (Why.DELEGATED if route.delegates else Why.OTHER_TRAFFIC), ()
    live = route.live
    if not live:
        return Why.NO_TRAFFIC, ()
    others = tuple(sorted(live - {stable, canary, ""}))
    if others:
        return Why.PINNED_ELSEWHERE, others
    if not live & {stable, ""}:
        return Why.PINNED_TO_CANARY, ()
    if "" in live:
        return Why.PLAIN_HOST, ()
    return (Why.STABLE_AND_CANARY if canary in live else Why.STABLE), ()


def moving_routes(
    virtual_service: Raw, host: ServiceHost, stable: str, canary: str, wanted: tuple[str, ...] | None = None
) -> tuple[RouteRecord, ...]:
    """The routes that a rollout from subset `stable` to subset `canary` moves, as found now."""
    verdicts = ((route, _verdict(route, stable, canary, wanted)) for route in _routes(virtual_service, host))
    return tuple(_record(route, canary, verdict.why) for route, verdict in verdicts if verdict.moves)


def repeated_destination(virtual_service: Raw, host: ServiceHost, records: tuple[RouteRecord, ...], stable: str) -> str | None:
    """A subset that some moving route names more than once."""
    moving = {record.key for record in records}
    for route in _routes(virtual_service, host):
        named = [subset_of(entry) or stable for _, entry in route.ours] if route.key in moving else []
        repeated = next((subset for subset in named if named.count(subset) > 1), None)
        if repeated is not None:
            return repeated
    return None


def tracked_routes(virtual_service: Raw, host: ServiceHost, routing: Routing) -> tuple[RouteRecord, ...]:
    """The recorded routes that are still there, and those that came up since: new ones that move by the same rule, and renamed
    or re-matched ones, which would otherwise keep the canary's share through a rollback."""
    return _TRACKED((virtual_service, routing), (host,))


def _tracked(same: tuple[Raw, Routing], alike: tuple[ServiceHost]) -> tuple[RouteRecord, ...]:
    (virtual_service, routing), (host,) = same, alike
    stable, canary, keys = routing.stable_subset, routing.canary_subset, set(route_keys(virtual_service))
    kept = {record.key: record for record in routing.routes if record.key in keys}
    moving = moving_routes(virtual_service, host, stable, canary, routing.only_routes)
    fresh = {record.key: record for record in moving if record.key not in kept}
    lost = len(kept) < len(routing.routes) or not routing.routes  # without any, one that went before may be given back
    # The missing one may be all on the canary by now; stable's destination tells it from a pinned route, and where stable has
    # left, its match. Its new name need not be among those that may move: what carries the canary's share has to come back.
    matches, away = _missing_matches(routing, kept) if lost else set[str](), {pin for pin in routing.pinned if _key(pin) not in kept}
    for route in _routes(virtual_service, host) if lost or away else ():
        named = {subset_of(entry) for _, entry in route.ours}
        both = {stable, canary} <= named and (lost or _was_away(route, away, routing))
        if route.key not in kept and (both or (named == {canary} and route.match in matches)):
            fresh.setdefault(route.key, _record(route, canary, Why.STABLE_AND_CANARY))
    # A destination of a subset that the operator added cannot be older than the rollout.
    added = (record.model_copy(update={"added": record.added or routing.added_canary_subset}) for record in fresh.values())
    return (*kept.values(), *added)


_TRACKED = Memory(_tracked)


def _missing_matches(routing: Routing, kept: Collection[str]) -> set[str]:
    """Digests of the matches of recorded routes that are not there any more, as far as they were known at rest."""
    missing = {record.key for record in routing.routes} - set(kept)
    return {digest for key, _, digest in (pin.rpartition("|") for pin in routing.pinned) if key in missing}


def _was_away(route: _Route, away: set[str], routing: Routing) -> bool:
    """Whether it is a route that was known at rest: one that is missing for a while is recorded no longer, and may come back."""
    return f"{route.key}|{route.match}" in away and (routing.only_routes is None or route.name in routing.only_routes)


def _key(pin: str) -> str:
    return pin.rpartition("|")[0]


def _record(route: _Route, canary: str, why: Why) -> RouteRecord:
    present = {subset_of(entry) for _, entry in route.ours}
    return RouteRecord(
        key=route.key,
        why=why.value,
        added=bool(canary) and canary not in present,
        weightless=weightless(route.entries),
        narrowed="" in route.live,
    )
