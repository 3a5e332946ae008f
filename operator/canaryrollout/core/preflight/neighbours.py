"""Objects of other namespaces that Istio applies to the same service, and other services that its routes need."""

from collections.abc import Iterator

from canaryrollout.core import destination_rules as dr
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preflight.inputs import subject_of
from canaryrollout.core.preflight.kinds import Check, Kind
from canaryrollout.core.preflight.view import Route, View, matches_wildcard, visible_to
from canaryrollout.core.shapes import mapping, texts
from canaryrollout.core.snapshot import Raw
from canaryrollout.core.surroundings import namespace_of

CLAIMED = Kind(
    "HostClaimedElsewhere",
    Severity.ERROR,
    "an older VirtualService of another namespace claims the Service's host: sidecars use that one and drop the rollout's. A warning "
    "where the other is younger, and is dropped itself",
    "delete one of the two, or keep the other to its own namespace by exportTo",
    analyze=("IST0109",),
)
RULED = Kind(
    "DestinationRuleElsewhere",
    Severity.WARNING,
    "a DestinationRule of another namespace applies to the Service: callers there use it instead, and it lacks a subset of the rollout: "
    "their proxies never get its cluster, so that the rollout waits for their proof until sync.timeout, and requests to that subset would "
    "be answered 503 (NC). No error, because nobody may call from there",
    "move its settings into the DestinationRule of the Service's namespace, or add the subsets there too",
)
UNKNOWN = Kind(
    "DestinationUnknown",
    Severity.WARNING,
    "a route that moves sends part of its requests to a host that the mesh does not know, neither as a Service nor by a ServiceEntry: "
    "they are answered 503. A name without dots means a Service of the VirtualService's own namespace",
    "write the full name (NAME.NAMESPACE.svc.cluster.local), or add a ServiceEntry",
    analyze=("IST0101",),
)


def host_is_claimed_once(view: View) -> Iterator[Finding]:
    """VirtualServices for the mesh; those of the rollout's own namespace are looked at before anything else."""
    own = view.virtual_service
    if own is not None and not vs.claims_host(own, view.host):
        return
    for other in view.around.virtual_services:
        if vs.claims_host(other, view.host) and visible_to(other, view.namespace):
            older = own is None or _age(other) <= _age(own)
            said = f"{subject_of(other)} claims host {view.host.fqdn} too"
            subject = subject_of(own) if own is not None else view.service_subject
            yield CLAIMED.found(said, subject, "spec.hosts", severity=Severity.ERROR if older else Severity.WARNING)


def _age(item: Raw) -> tuple[str, str, str]:
    """Older ones first, as istiod sorts them."""
    metadata = item["metadata"]
    return str(metadata.get("creationTimestamp", "")), str(metadata["name"]), namespace_of(item)


def rules_elsewhere_have_the_subsets(view: View) -> Iterator[Finding]:
    """Callers look in their own namespace first, then in the Service's, then in the root namespace."""
    for rule in view.around.destination_rules:
        host = str(mapping(rule.get("spec")).get("host") or "")
        named = view.host.matches(host, namespace_of(rule)) and not view.host.is_short_form(host)
        applies = named or ("*" in host and matches_wildcard(view.host.fqdn, host))
        if not applies or namespace_of(rule) == view.around.root_namespace:
            continue
        lacking = sorted(view.own_subsets - {str(subset.get("name")) for subset in dr.subsets(rule)})
        if lacking:
            names = " and ".join(repr(name) for name in lacking)
            said = (
                f"{subject_of(rule)} applies to {view.host.fqdn} for callers in its namespace and lacks subset {names}: if there are any, "
                "the rollout waits in vain for their proxies' proof, and then times out (sync.timeout)"
            )
            yield RULED.found(said, subject_of(rule), "spec.subsets")


def destinations_are_known(view: View) -> Iterator[Finding]:
    """The other services that moving routes send part of their requests to."""
    for route in view.moving:
        ours = {position for position, _ in route.ours}
        for position, entry in enumerate(route.entries):
            host = str(mapping(entry.get("destination")).get("host") or "")
            if position not in ours and route.weight(entry) > 0 and not _known(view, host, namespace_of(route.service)):
                yield _unknown(view, route, position, host)


def _unknown(view: View, route: Route, position: int, host: str) -> Finding:
    mode = mapping(mapping(view.around.mesh_config).get("outboundTrafficPolicy")).get("mode", "ALLOW_ANY")
    strict = ", and the mesh lets nothing out that it does not know (REGISTRY_ONLY)" if mode == "REGISTRY_ONLY" else ""
    said = f"{route.named} sends requests to {host!r}, which is no Service and in no ServiceEntry{strict}"
    return UNKNOWN.found(said, route.subject, f"{route.path}.route[{position}].destination.host")


def _known(view: View, host: str, namespace: str) -> bool:
    parts = host.split(".")
    if len(parts) == 1:
        service = f"{namespace}/{host}"
    else:
        service = f"{parts[1]}/{parts[0]}"
        if host not in (f"{parts[0]}.{parts[1]}", f"{parts[0]}.{parts[1]}.svc", f"{parts[0]}.{parts[1]}.svc.{view.host.cluster_domain}"):
            service = ""
    if service in view.around.services:
        return True
    for entry in view.around.service_entries:
        hosts = texts(mapping(entry.get("spec")).get("hosts"))
        if visible_to(entry, namespace) and any(matches_wildcard(host, found) for found in hosts):
            return True
    return False


CHECKS = (
    Check(host_is_claimed_once, (CLAIMED,), wants=("VirtualService",)),
    Check(rules_elsewhere_have_the_subsets, (RULED,), wants=("DestinationRule",)),
    Check(destinations_are_known, (UNKNOWN,), needs=("Service", "ServiceEntry")),
)
