"""What must be there at all: the Service, and one VirtualService and one DestinationRule to work on."""

from canaryrollout.core import destination_rules as dr
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.opaque_routes import opaque_destinations
from canaryrollout.core.preflight.inputs import (
    Input,
    chosen_virtual_service,
    destination_rule_name,
    rule_of,
    virtual_service_name,
)
from canaryrollout.core.preflight.view import selects
from canaryrollout.core.shapes import mapping
from canaryrollout.core.snapshot import Problem


def observed_problem(given: Input) -> Problem | None:
    """Whatever made observing impossible comes first."""
    return next(iter(given.snapshot.problems), None)


def service_exists(given: Input) -> Problem | None:
    """The Service named in the spec."""
    if given.snapshot.service is not None:
        return None
    name = given.spec.service
    return Problem(
        "ServiceNotFound", f"Service {name!r} does not exist in namespace {given.namespace!r}: create it or correct spec.service"
    )


def service_has_selector(given: Input) -> Problem | None:
    """Versions are found among the Service's own pods."""
    if mapping(mapping(given.snapshot.service).get("spec")).get("selector"):
        return None
    return Problem("ServiceWithoutSelector", f"Service {given.spec.service!r} selects no pods: give it a selector that covers all versions")


def one_virtual_service_per_host(given: Input) -> Problem | None:
    """Istio does not merge two VirtualServices of one host in sidecars; it silently drops the newer."""
    names = sorted(str(v["metadata"]["name"]) for v in given.claiming)
    if len(names) < 2:
        return None
    return Problem(
        "DuplicateVirtualService",
        f"VirtualServices {', '.join(names)} all claim host {given.host.fqdn}; sidecars use only the oldest: merge them into one",
    )


def virtual_service_is_clear(given: Input) -> Problem | None:
    """Exactly one VirtualService routes the service, or the spec names the one to use."""
    routing = given.routing
    wanted = given.spec.virtual_service.name
    if wanted is None and len(routing) > 1:
        names = ", ".join(str(v["metadata"]["name"]) for v in routing)
        return Problem(
            "AmbiguousVirtualService", f"VirtualServices {names} all route {given.spec.service!r}: name one in spec.virtualService.name"
        )
    existing = chosen_virtual_service(given)
    claiming = sorted(str(v["metadata"]["name"]) for v in given.claiming)
    if existing is None and claiming:
        return Problem(
            "DuplicateVirtualService",
            f"VirtualService {wanted!r} does not exist, and {claiming[0]!r} already claims host {given.host.fqdn}; sidecars would not use "
            "a second one: correct spec.virtualService.name",
        )
    if existing is not None and not vs.routes_service(existing, given.host) and opaque_destinations(existing, given.host):
        return Problem(
            "OnlyOpaqueRoutes",
            f"VirtualService {existing['metadata']['name']!r} routes {given.spec.service!r} by TCP or TLS routes alone, which no HTTP "
            "metric counts, so that no version could be judged: serve it by HTTP routes, or shift its traffic by other means",
        )
    if existing is not None and not vs.routes_service(existing, given.host):
        return Problem(
            "NoRouteToService",
            f"VirtualService {existing['metadata']['name']!r} has no HTTP route with destination {given.spec.service!r}: "
            "add one, or name another VirtualService in spec.virtualService.name",
        )
    return None


def one_destination_rule_per_host(given: Input) -> Problem | None:
    """One DestinationRule carries all subsets of the service."""
    rules = given.rules
    if len(rules) > 1:
        names = ", ".join(str(rule["metadata"]["name"]) for rule in rules)
        return Problem("DuplicateDestinationRule", f"DestinationRules {names} all apply to {given.host.fqdn}: merge them into one")
    wanted = given.spec.destination_rule.name
    if wanted and rules and rules[0]["metadata"]["name"] != wanted:
        found = rules[0]["metadata"]["name"]
        return Problem(
            "DestinationRuleMismatch",
            f"DestinationRule {found!r} already applies to {given.host.fqdn}: set spec.destinationRule.name to it or leave it out",
        )
    if wanted and not rules and any(r["metadata"]["name"] == wanted for r in given.snapshot.mesh.destination_rules):
        return Problem("DestinationRuleMismatch", f"DestinationRule {wanted!r} is for another host than {given.host.fqdn}: name another")
    return None


def names_are_free(given: Input) -> Problem | None:
    """An object that would be created must not exist for something else."""
    existing = {str(v["metadata"]["name"]) for v in given.snapshot.mesh.virtual_services}
    if chosen_virtual_service(given) is None and virtual_service_name(given) in existing:
        return Problem(
            "VirtualServiceNameTaken",
            f"VirtualService {virtual_service_name(given)!r} exists but does not route {given.spec.service!r}: "
            "add a route or name another in spec.virtualService.name",
        )
    rules = given.snapshot.mesh.destination_rules
    taken = any(rule["metadata"]["name"] == destination_rule_name(given) for rule in rules)
    if not given.rules and taken:
        return Problem(
            "DestinationRuleMismatch",
            f"DestinationRule {destination_rule_name(given)!r} is for another host than {given.host.fqdn}: "
            "name another in spec.destinationRule.name",
        )
    return None


def subset_name_is_free(given: Input) -> Problem | None:
    """The subset of a version must select that version."""
    if dr.find_subset(rule_of(given), given.spec.version_label, given.spec.version) is not None:
        return None
    return subset_mismatch(given, dr.subset_name(given.spec.version), given.spec.version)


def subset_mismatch(given: Input, name: str, version: str) -> Problem | None:
    """A subset of that name must select that version, if it exists, and by all of its labels some pod that is ready."""
    label, rule = given.spec.version_label, rule_of(given)
    if dr.name_is_taken(rule, label, name, version):
        return Problem(
            "SubsetMismatch", f"subset {name!r} of the DestinationRule does not select {label}={version}: correct its labels or rename it"
        )
    labels = next((mapping(subset.get("labels")) for subset in dr.subsets(rule) if subset.get("name") == name), None)
    ready = [pod.labels for pod in given.snapshot.pods or () if pod.ready and pod.labels.get(label) == version]
    if labels is None or not ready or any(selects(labels, pod) for pod in ready):
        return None
    said = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return Problem(
        "SubsetMismatch",
        f"subset {name!r} of the DestinationRule selects {said}, which no ready pod of version {version} has, so that its requests would "
        "be answered 503: correct its labels or those of the pods",
    )
