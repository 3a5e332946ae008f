"""The written rule: which HTTP routes of a VirtualService move with a rollout, and why the others stay.

A route moves when all of the service's traffic in it goes to stable, or to stable and the canary; a destination without a subset
(plain host) counts as stable and is narrowed to stable's subset first. A route that somebody pinned to the canary or to another
version stays, and so does everything that spec.virtualService.routes does not name, where it names any. The rule is applied once,
when a rollout begins; the status keeps the answer, and core.known_routes knows those routes again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from canaryrollout.api.status import RouteRecord
from canaryrollout.core.hosts import ServiceHost
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
    return tuple(_verdict(route, stable, canary, wanted) for route in routes_of(virtual_service, host))


@dataclass(frozen=True, slots=True)
class Route:
    """One live HTTP route, as far as the rule looks at it."""

    key: str
    name: str
    delegates: bool
    entries: list[Entry]
    ours: list[tuple[int, Entry]]
    match: str
    """Digest of its matches."""

    @property
    def named(self) -> set[str]:
        """The subsets ("" for the plain host) that it names for the service, at whatever weight."""
        return {subset_of(entry) for _, entry in self.ours}

    @property
    def live(self) -> set[str]:
        """The subsets ("" for the plain host) that get traffic of the service."""
        return {subset_of(entry) for _, entry in self.ours if weight_of(entry, self.entries) > 0}


def routes_of(virtual_service: Raw, host: ServiceHost) -> Iterator[Route]:
    """Its HTTP routes in order."""
    for key, route in zip(route_keys(virtual_service), http_routes(virtual_service), strict=True):
        entries = mappings(route.get("route"))
        ours = service_entries(virtual_service, route, host)
        yield Route(key, str(route.get("name") or ""), bool(route.get("delegate")), entries, ours, match_digest(route))


def _verdict(route: Route, stable: str, canary: str, wanted: tuple[str, ...] | None) -> RouteVerdict:
    why, others = _why(route, stable, canary)
    if why in MOVING and wanted is not None and route.name not in wanted:
        why = Why.NOT_LISTED
    return RouteVerdict(route.key, why, others, route.name)


def _why(route: Route, stable: str, canary: str) -> tuple[Why, tuple[str, ...]]:
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
    verdicts = ((route, _verdict(route, stable, canary, wanted)) for route in routes_of(virtual_service, host))
    return tuple(record_of(route, canary, verdict.why) for route, verdict in verdicts if verdict.moves)


def repeated_destination(virtual_service: Raw, host: ServiceHost, records: tuple[RouteRecord, ...], stable: str) -> str | None:
    """A subset that some moving route names more than once."""
    moving = {record.key for record in records}
    for route in routes_of(virtual_service, host):
        named = [subset_of(entry) or stable for _, entry in route.ours] if route.key in moving else []
        repeated = next((subset for subset in named if named.count(subset) > 1), None)
        if repeated is not None:
            return repeated
    return None


def record_of(route: Route, canary: str, why: Why) -> RouteRecord:
    """What is recorded of a route that moves, for that reason."""
    return RouteRecord(
        key=route.key,
        why=why.value,
        added=bool(canary) and canary not in route.named,
        weightless=weightless(route.entries),
        narrowed="" in route.live,
    )
