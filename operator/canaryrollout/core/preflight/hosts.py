"""Which objects apply to the service's host, as Istio resolves it.

From pilot/pkg/model/{sidecar,push_context,destination_rule}.go, and seen with istiod 1.31: of several VirtualServices a sidecar takes the
one with the most specific host. It takes one DestinationRule only, from its own namespace if that has any for the host, else from the
service's, else from the root namespace, and there the one with the most specific host; nothing is inherited from the others.
"""

from collections.abc import Iterable

from canaryrollout.core import virtual_services as vs
from canaryrollout.core.delegates import identity, is_delegate, roots_of
from canaryrollout.core.envoy_routes import visible_in
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.preflight.inputs import Input, all_virtual_services, chosen_virtual_service, rule_of, subject_of
from canaryrollout.core.shapes import mapping, texts
from canaryrollout.core.snapshot import Problem, Raw


def hosts_resolve(given: Input) -> Problem | None:
    """NAME.NAMESPACE and NAME.NAMESPACE.svc are Kubernetes' short forms; to Istio they are hosts that it does not know."""
    host, service, rule = given.host, chosen_virtual_service(given), rule_of(given)
    if service is not None:
        named = texts(mapping(service.get("spec")).get("hosts")) if vs.in_mesh(service) else []
        unresolved = [name for name in named if host.is_short_form(name)]
        if unresolved and not any(host.matches(name, given.namespace) and not host.is_short_form(name) for name in named):
            return _unresolved(host, f"spec.hosts of VirtualService {service['metadata']['name']!r}", unresolved[0])
        for key, route in zip(vs.route_keys(service), vs.http_routes(service), strict=True):
            for _, entry in vs.service_entries(service, route, host):
                if host.is_short_form(str(entry["destination"]["host"])):
                    place = f"a destination in route {key} of VirtualService {service['metadata']['name']!r}"
                    return _unresolved(host, place, entry["destination"]["host"])
    if rule is not None and host.is_short_form(str(rule["spec"]["host"])):
        return _unresolved(host, f"spec.host of DestinationRule {rule['metadata']['name']!r}", rule["spec"]["host"])
    return None


def _unresolved(host: ServiceHost, place: str, name: object) -> Problem:
    return Problem(
        "HostNotResolved",
        f"{place} is {name!r}, which Istio does not take for the service (it expands names without dots only): write {host.name!r} or "
        f"{host.fqdn!r}",
    )


def delegate_has_root(given: Input) -> Problem | None:
    """Without a root a delegate's routes show nowhere, and nothing could be proved about them."""
    service = chosen_virtual_service(given)
    if service is None or not is_delegate(service) or roots_of(service, all_virtual_services(given)):
        return None
    around = given.snapshot.surroundings
    unseen = "" if around is not None and around.complete("VirtualService") else " that the operator may read"
    return Problem(
        "DelegateWithoutRoot",
        f"VirtualService {service['metadata']['name']!r} has no hosts, and no VirtualService{unseen} delegates to it, so that its routes "
        "take effect nowhere: delegate to it from the VirtualService with the hosts, or give it hosts of its own"
        + (", or let the operator read VirtualServices of all namespaces" if unseen else ""),
    )


def virtual_service_would_shadow(given: Input) -> Problem | None:
    """One that is created would take the place of a wildcard's rules for the host."""
    if chosen_virtual_service(given) is not None:
        return None
    found = [v for v in all_virtual_services(given) if vs.applies_to_host(v, given.host) and not vs.claims_host(v, given.host)]
    if not found:
        return None
    return Problem(
        "WildcardVirtualService",
        f"{subject_of(found[0])} applies to {given.host.fqdn} by a wildcard host; a VirtualService for {given.spec.service!r} alone, which "
        "the operator would create, would take its place, and its rules would be lost there: create a VirtualService for host "
        f"{given.spec.service!r} with the rules that it needs and a route to it",
    )


def destination_rule_would_shadow(given: Input) -> Problem | None:
    """One that is created would take the place of a wildcard's policies, TLS settings among them."""
    if rule_of(given) is not None:
        return None
    around = given.snapshot.surroundings
    root = [r for r in around.destination_rules if identity(r)[0] == around.root_namespace] if around is not None else []
    exported = [rule for rule in root if not visible_in(rule) or given.namespace in visible_in(rule)]
    rule = _most_specific(given.snapshot.mesh.destination_rules, given.host) or _most_specific(exported, given.host)
    if rule is None or not {"trafficPolicy", "subsets"} & set(mapping(rule.get("spec"))):
        return None
    return Problem(
        "WildcardDestinationRule",
        f"{subject_of(rule)} (host {rule['spec']['host']!r}) holds for {given.host.fqdn}; Istio would drop it for a DestinationRule of the "
        f"service's own, which the operator would have to create, and with it its policies: create a DestinationRule for host "
        f"{given.spec.service!r} that repeats those which shall hold",
    )


def _most_specific(rules: Iterable[Raw], host: ServiceHost) -> Raw | None:
    """The rule that Istio takes of one namespace: with the host's exact name, else with the longest wildcard."""
    found = [rule for rule in rules if _covers(rule, host)]
    return max(found, key=lambda rule: (not str(rule["spec"]["host"]).startswith("*"), len(str(rule["spec"]["host"]))), default=None)


def _covers(rule: Raw, host: ServiceHost) -> bool:
    name = str(mapping(rule.get("spec")).get("host") or "")
    resolved = host.matches(name, identity(rule)[0]) and not host.is_short_form(name)
    return resolved or host.is_covered_by(name)
