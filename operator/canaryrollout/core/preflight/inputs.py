"""What every check of preflight sees, and which objects a rollout is about."""

from dataclasses import dataclass

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Routing
from canaryrollout.core import destination_rules as dr
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.lazy import lazy
from canaryrollout.core.snapshot import Raw, Snapshot


@dataclass(frozen=True)
class Input:
    """What every check sees. What several of them ask for is looked up once."""

    snapshot: Snapshot
    spec: CanaryRolloutSpec
    host: ServiceHost
    recorded: Routing | None = None
    """What is known of the routing, in a rollout and at rest; None before adoption."""

    @property
    def namespace(self) -> str:
        """The namespace of everything the rollout touches."""
        return self.host.namespace

    @lazy
    def routing(self) -> list[Raw]:
        """The VirtualServices of the namespace that send traffic to the service, by name."""
        found = [v for v in self.snapshot.mesh.virtual_services if vs.routes_service(v, self.host)]
        return sorted(found, key=lambda v: str(v["metadata"]["name"]))

    @lazy
    def claiming(self) -> list[Raw]:
        """The VirtualServices that apply to the service's own host, in the order given."""
        return [v for v in self.snapshot.mesh.virtual_services if vs.claims_host(v, self.host)]

    @lazy
    def rules(self) -> list[Raw]:
        """The DestinationRules of the service."""
        return dr.for_host(self.snapshot.mesh.destination_rules, self.host)


def subject_of(item: Raw) -> str:
    """An object as findings name it."""
    metadata = item["metadata"]
    return f"{item.get('kind', '')}/{metadata.get('namespace', '')}/{metadata['name']}"


def all_virtual_services(given: Input) -> tuple[Raw, ...]:
    """Those of the namespace, and those of others as far as they were looked at."""
    around = given.snapshot.surroundings
    return (*given.snapshot.mesh.virtual_services, *(around.virtual_services if around is not None else ()))


def chosen_virtual_service(given: Input) -> Raw | None:
    """The VirtualService to use; None when it has to be created."""
    wanted = given.spec.virtual_service.name
    if wanted is not None:
        return next((v for v in given.snapshot.mesh.virtual_services if v["metadata"]["name"] == wanted), None)
    return next(iter(given.routing + given.claiming), None)


def virtual_service_name(given: Input) -> str:
    """The name of the VirtualService to use or create."""
    chosen = chosen_virtual_service(given)
    return str(chosen["metadata"]["name"]) if chosen else given.spec.virtual_service.name or given.spec.service


def rule_of(given: Input) -> Raw | None:
    """The DestinationRule of the service; None when it has to be created."""
    return next(iter(given.rules), None)


def destination_rule_name(given: Input) -> str:
    """The name of the DestinationRule to use or create."""
    rule = rule_of(given)
    return str(rule["metadata"]["name"]) if rule else given.spec.destination_rule.name or given.spec.service
