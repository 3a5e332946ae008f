"""The routes to the service: whether requests take them, where they go, and whether they can be judged by their answers."""

from collections.abc import Iterator, Mapping
from typing import Any

from canaryrollout.core import virtual_services as vs
from canaryrollout.core.delegates import is_delegate, roots_of
from canaryrollout.core.findings import Finding, Severity
from canaryrollout.core.preflight.inputs import all_virtual_services
from canaryrollout.core.preflight.kinds import Check, Kind
from canaryrollout.core.preflight.matching import Earlier, matches_of
from canaryrollout.core.preflight.view import MESH, Route, View, bound_to, listed
from canaryrollout.core.shapes import mapping, ports_of, texts

FAULT = Kind(
    "FaultInjected",
    Severity.ERROR,
    "a route that moves injects faults: the canary would be judged by answers that are not its own",
    "remove fault from the route, or set its percentage to 0, until the rollout is over",
)
WEIGHTS = Kind(
    "WeightsNotHundred",
    Severity.WARNING,
    "the weights of a route do not sum to 100: Istio takes them as shares of their sum, the operator writes them anew with sum 100",
    "write weights that sum to 100",
)
SHADOWED = Kind(
    "RouteShadowed",
    Severity.WARNING,
    "an earlier route takes every request of a route: nothing reaches it",
    "put the narrower route first, or remove one of the two",
    analyze=("IST0130",),
)
INEFFECTIVE = Kind(
    "MatchShadowed",
    Severity.INFO,
    "one match of a route is taken by an earlier route; its other matches are not",
    "remove the match, or put the route first",
    analyze=("IST0131",),
)
PORT_MISSING = Kind(
    "PortMismatch",
    Severity.ERROR,
    "a destination names a port that the Service does not have: its requests are answered 503 (NC)",
    "name a port of the Service",
    analyze=("IST0101",),
)
PORT_UNSAID = Kind(
    "PortUnsaid",
    Severity.WARNING,
    "the Service has several ports and a destination names none: Istio takes the port that the client or the gateway happened to use. Only "
    "information where no gateway is bound: a client of the mesh asks for a port of the Service",
    "name the port in destination.port.number",
    analyze=("IST0112",),
)
ELSEWHERE = Kind(
    "RoutedFromElsewhere",
    Severity.WARNING,
    "a VirtualService of another namespace sends requests to the Service without a subset: they reach pods of all versions, the canary's "
    "too, at weights that no rollout decides",
    "let it delegate to the VirtualService of the Service's namespace, or name stable's subset there",
)

BESIDES = Kind(
    "RoutedBesides",
    Severity.WARNING,
    "another VirtualService of the namespace sends requests to the Service, without a subset or to stable's: only the routes of the "
    "rollout's own VirtualService move, so that those requests reach pods of all versions, or stay on stable, whatever the weights",
    "move its routes into the VirtualService of the rollout, which may have several hosts and gateways, or let both delegate to one "
    "VirtualService without hosts and name that in spec.virtualService.name",
)


def fault_injected(view: View) -> Iterator[Finding]:
    """Faults on moving routes. Istio injects none where no percentage is given."""
    for route in view.moving:
        fault = mapping(route.raw.get("fault"))
        active = [kind for kind in ("delay", "abort") if _percentage(fault.get(kind)) > 0.0]
        if active:
            said = f"{route.named} injects a fault ({' and '.join(active)}): the canary would be judged by it"
            yield FAULT.found(said, route.subject, f"{route.path}.fault")


def _percentage(fault: object) -> float:
    given = mapping(mapping(fault).get("percentage")).get("value", mapping(fault).get("percent", 0))
    return float(given) if isinstance(given, int | float) else 0.0


def weights_sum_to_hundred(view: View) -> Iterator[Finding]:
    """Only where there are several: a lone destination gets everything."""
    for route in view.moving:
        total = sum(route.weight(entry) for entry in route.entries)
        if len(route.entries) > 1 and total != 100:
            yield WEIGHTS.found(f"the weights of {route.named} sum to {total}", route.subject, f"{route.path}.route")


def routes_are_reached(view: View) -> Iterator[Finding]:
    """Routes of the service behind others that take the same requests, or more."""
    if view.virtual_service is None:
        return
    everything = vs.http_routes(view.virtual_service)
    earlier, added = Earlier(tuple(texts(mapping(view.virtual_service.get("spec")).get("gateways")) or [MESH])), 0
    for route in view.routes:
        for before in range(added, route.index):
            if not everything[before].get("delegate"):
                earlier.add(before, everything[before])
        added = route.index
        taken = [earlier.taking(match) for match in matches_of(route.raw)]
        by = [index for index in taken if index is not None]
        if len(by) == len(taken):
            said = f"{route.named} is never reached: http[{max(by)}] before it takes the same requests"
            yield SHADOWED.found(said, route.subject, route.path)
        else:
            for position, index in enumerate(taken):
                if index is not None:
                    said = f"match {position + 1} of {route.named} has no effect: http[{index}] before it takes the same requests"
                    yield INEFFECTIVE.found(said, route.subject, f"{route.path}.match[{position}]")


def ports_exist(view: View) -> Iterator[Finding]:
    """The ports of destinations against those of the Service."""
    listening = ports_of(view.given.snapshot.service)
    if not listening:
        return
    for route in view.every_route:
        for position, _ in route.ours:
            yield from _port(view, route, position, listening)


def _port(view: View, route: Route, position: int, listening: list[int]) -> Iterator[Finding]:
    entry, ports = route.entries[position], ", ".join(str(port) for port in listening)
    wanted = mapping(mapping(entry.get("destination")).get("port")).get("number")
    path = f"{route.path}.route[{position}].destination.port"
    if wanted is None and len(listening) > 1:
        said = f"{route.named} names no port of Service {view.host.name!r}, which has {ports}"
        severity = Severity.INFO if bound_to(route.service) == [MESH] and not is_delegate(route.service) else Severity.WARNING
        yield PORT_UNSAID.found(said, route.subject, path, severity=severity)
    elif wanted is not None and wanted not in listening:
        grave = route.ordinary and route.weight(entry) > 0
        said = f"{route.named} goes to port {wanted}, which Service {view.host.name!r} does not have (it has {ports})"
        yield PORT_MISSING.found(said, route.subject, path, severity=Severity.ERROR if grave else Severity.WARNING)


def routed_from_elsewhere(view: View) -> Iterator[Finding]:
    """Other namespaces' routes that would let requests reach the canary by themselves."""
    plain: dict[str, list[str]] = {}
    for route in view.foreign_routes:
        if any(not vs.subset_of(entry) and route.weight(entry) > 0 for _, entry in route.ours):
            plain.setdefault(route.subject, []).append(f"http[{route.index}]")
    for subject, places in plain.items():
        said = f"{subject} sends requests to {view.host.fqdn} without a subset ({listed(places)}): they reach pods of all versions"
        yield ELSEWHERE.found(said, subject, "spec.http")


def routed_besides(view: View) -> Iterator[Finding]:
    """Routes of the namespace's other VirtualServices that a rollout would have moved. What somebody pinned elsewhere is meant so."""
    recorded = view.given.recorded
    stable = recorded.stable_subset if recorded is not None else ""
    found: dict[tuple[str, str], list[Route]] = {}
    for route in view.every_route:
        if route.service is view.virtual_service or _takes_no_effect(view, route.service):
            continue
        live = {vs.subset_of(entry) for _, entry in route.ours if route.weight(entry) > 0}
        subset = next((name for name in ("", stable) if name in live), None)
        if subset is not None:
            found.setdefault((route.subject, subset), []).append(route)
    for (subject, subset), routes in found.items():
        places = listed(f"http[{route.index}]" for route in routes)
        how = f"to stable's subset {subset!r}" if subset else "without a subset"
        then = "they stay there, whatever the weights" if subset else "they reach pods of all versions, whatever the weights"
        said = f"{subject} sends requests to {view.host.fqdn} besides the rollout's VirtualService, {how} ({places}): {then}"
        yield BESIDES.found(said, subject, routes[0].path)


def _takes_no_effect(view: View, service: Mapping[str, Any]) -> bool:
    """A delegate that nobody is known to delegate to."""
    return is_delegate(service) and not roots_of(service, all_virtual_services(view.given))


CHECKS = (
    Check(fault_injected, (FAULT,)),
    Check(weights_sum_to_hundred, (WEIGHTS,)),
    Check(routes_are_reached, (SHADOWED, INEFFECTIVE)),
    Check(ports_exist, (PORT_MISSING, PORT_UNSAID)),
    Check(routed_besides, (BESIDES,)),
    Check(routed_from_elsewhere, (ELSEWHERE,), wants=("VirtualService",)),
)
