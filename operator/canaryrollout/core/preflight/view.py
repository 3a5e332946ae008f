"""The configuration as the checks look at it: worked out once for all of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.core import destination_rules as dr
from canaryrollout.core import route_rule
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.lazy import lazy
from canaryrollout.core.preflight.inputs import Input, chosen_virtual_service, rule_of, subject_of
from canaryrollout.core.shapes import mapping, mappings, text, texts
from canaryrollout.core.snapshot import PodSeen, Raw
from canaryrollout.core.surroundings import Surroundings, namespace_of

POD = "Pod"
MESH = "mesh"
"""The Gateway that means all sidecars."""


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP route of a VirtualService that sends traffic to the service."""

    service: Raw
    """The VirtualService."""
    index: int
    raw: Mapping[str, Any]
    ours: tuple[tuple[int, vs.Entry], ...]
    """(position, destination) of those that are the service."""
    moving: bool = False

    @property
    def path(self) -> str:
        """Its place."""
        return f"spec.http[{self.index}]"

    @property
    def subject(self) -> str:
        """Its VirtualService."""
        return subject_of(self.service)

    @property
    def named(self) -> str:
        """For a sentence."""
        name = self.raw.get("name")
        return f"route {name!r}" if name else f"route {self.index + 1}"

    @property
    def entries(self) -> list[vs.Entry]:
        """All its destinations."""
        return mappings(self.raw.get("route"))

    @property
    def ordinary(self) -> bool:
        """Whether it takes requests that no match singles out, so that what is wrong with it meets everybody."""
        return self.moving or not self.raw.get("match")

    def weight(self, entry: vs.Entry) -> int:
        """The effective weight of a destination."""
        return vs.weight_of(entry, self.entries)


@dataclass(frozen=True, slots=True)
class Policy:
    """A trafficPolicy that holds for the service, or for one subset of it ("" for all)."""

    subject: str
    path: str
    subset: str
    policy: Mapping[str, Any]


class View:
    """What is there, from the point of view of one rollout."""

    def __init__(self, given: Input) -> None:
        self.given = given

    @property
    def spec(self) -> CanaryRolloutSpec:
        """What the user wrote."""
        return self.given.spec

    @property
    def host(self) -> ServiceHost:
        """The service."""
        return self.given.host

    @property
    def namespace(self) -> str:
        """The rollout's namespace."""
        return self.given.namespace

    @property
    def service_subject(self) -> str:
        """The Service as findings name it."""
        return f"Service/{self.namespace}/{self.host.name}"

    @property
    def rollout_subject(self) -> str:
        """The CanaryRollout as findings name it."""
        return f"CanaryRollout/{self.namespace}/{self.given.snapshot.name}"

    @lazy
    def around(self) -> Surroundings:
        """The surroundings, empty where nobody looked."""
        return self.given.snapshot.surroundings or Surroundings()

    @property
    def pods(self) -> tuple[PodSeen, ...]:
        """The pods of the Service."""
        return self.given.snapshot.pods or ()

    @lazy
    def virtual_service(self) -> Raw | None:
        """The one in use."""
        return chosen_virtual_service(self.given)

    @lazy
    def rule(self) -> Raw | None:
        """The DestinationRule in use."""
        return rule_of(self.given)

    @property
    def rule_subject(self) -> str:
        """The DestinationRule as findings name it, whether it exists or not."""
        return subject_of(self.rule) if self.rule is not None else f"DestinationRule/{self.namespace}/{self.host.name}"

    @lazy
    def canary_subset(self) -> str:
        """The canary's subset, by the name that it has or will have."""
        routing = self.given.recorded
        if routing is not None and routing.canary_subset:
            return routing.canary_subset
        found = dr.find_subset(self.rule, self.spec.version_label, self.spec.version)
        return str(found["name"]) if found is not None else dr.subset_name(self.spec.version)

    @lazy
    def own_subsets(self) -> frozenset[str]:
        """Those of stable and the canary: the operator brings them itself, and looks after their pods itself."""
        routing = self.given.recorded
        return frozenset({self.canary_subset} | ({routing.stable_subset} if routing is not None else set()))

    @lazy
    def routes(self) -> tuple[Route, ...]:
        """The routes of the VirtualService in use that send traffic to the service."""
        if self.virtual_service is None:
            return ()
        moving = self._moving_keys(self.virtual_service)
        keys = vs.route_keys(self.virtual_service)
        return tuple(
            Route(route.service, route.index, route.raw, route.ours, moving is None or keys[route.index] in moving)
            for route in routes_of(self.virtual_service, self.host)
        )

    def _moving_keys(self, service: Raw) -> frozenset[str] | None:
        """The keys of the routes that move; None where it is not known yet, so that all may."""
        routing = self.given.recorded
        if routing is None:
            return None
        stable, wanted = routing.stable_subset, self.spec.virtual_service.routes or None
        records = routing.routes or route_rule.moving_routes(service, self.host, stable, self.canary_subset, wanted)
        return frozenset(record.key for record in records)

    @lazy
    def moving(self) -> tuple[Route, ...]:
        """Those that a rollout moves."""
        return tuple(route for route in self.routes if route.moving)

    @lazy
    def every_route(self) -> tuple[Route, ...]:
        """Routes to the service in all VirtualServices of its namespace, those of the one in use first."""
        others = (item for item in self.given.snapshot.mesh.virtual_services if item is not self.virtual_service)
        return (*self.routes, *(route for item in others for route in routes_of(item, self.host)))

    @lazy
    def foreign_routes(self) -> tuple[Route, ...]:
        """Routes to the service in VirtualServices of other namespaces."""
        return tuple(route for item in self.around.virtual_services for route in routes_of(item, self.host))

    @lazy
    def bound_gateways(self) -> tuple[Raw, ...]:
        """The Gateways of the VirtualService, as far as they exist and may be read."""
        wanted = set(bound_to(self.virtual_service)) if self.virtual_service is not None else set()
        return tuple(gateway for gateway in self.around.gateways if key_of(gateway) in wanted)

    @lazy
    def policies(self) -> tuple[Policy, ...]:
        """The trafficPolicies of the service, of its own two subsets, and of the canary on trial; what holds more wins and comes later."""
        spec = mapping(mapping(self.rule).get("spec"))
        found = [Policy(self.rule_subject, "spec.trafficPolicy", "", mapping(spec.get("trafficPolicy")))]
        for index, subset in enumerate(dr.subsets(self.rule)):
            if text(subset.get("name")) in self.own_subsets:
                path = f"spec.subsets[{index}].trafficPolicy"
                found.append(Policy(self.rule_subject, path, str(subset["name"]), mapping(subset.get("trafficPolicy"))))
        found.append(Policy(self.rollout_subject, "spec.canaryTrafficPolicy", self.canary_subset, self.spec.canary_traffic_policy or {}))
        return tuple(policy for policy in found if policy.policy)


def routes_of(service: Raw, host: ServiceHost) -> Iterator[Route]:
    """The HTTP routes of a VirtualService that send traffic to the service."""
    for index, route in enumerate(vs.http_routes(service)):
        ours = tuple(vs.service_entries(service, route, host))
        if ours:
            yield Route(service, index, route, ours)


def bound_to(service: Raw) -> list[str]:
    """The Gateways of a VirtualService, with "mesh", as "NAMESPACE/NAME"."""
    gateways = texts(mapping(service.get("spec")).get("gateways")) or [MESH]
    return [qualified(name, namespace_of(service)) for name in gateways]


def qualified(name: str, namespace: str) -> str:
    """A Gateway's name as a rule of `namespace` means it."""
    return name if name == MESH or "/" in name else f"{namespace}/{name}"


def key_of(item: Raw) -> str:
    """ "NAMESPACE/NAME" of an object."""
    return f"{namespace_of(item)}/{item['metadata']['name']}"


def visible_to(item: Raw, namespace: str) -> bool:
    """Whether an object may be seen in a namespace (exportTo)."""
    exported = texts(mapping(item.get("spec")).get("exportTo")) or ["*"]
    return "*" in exported or namespace in exported or ("." in exported and namespace == namespace_of(item))


def matches_wildcard(host: str, pattern: str) -> bool:
    """Whether `pattern`, which may begin with "*", takes in `host`."""
    if pattern in ("*", host):
        return True
    return pattern.startswith("*") and host.removeprefix("*").endswith(pattern[1:])


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, Any]) -> bool:
    """Whether a label selector takes in something with these labels; an empty one takes in everything."""
    return all(labels.get(key) == value for key, value in mapping(selector).items())


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names for a sentence, the first few of many."""
    found = sorted(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
