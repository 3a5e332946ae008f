"""Which version serves now, and what a rollout finds in the mesh when it begins."""

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import ROUTES_LIMIT, RouteRecord, Routing
from canaryrollout.core import destination_rules as dr
from canaryrollout.core import route_rule
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.delegates import identity, is_delegate, roots_of
from canaryrollout.core.opaque_routes import opaque_destinations
from canaryrollout.core.preflight import inputs
from canaryrollout.core.preflight.inputs import Input, rule_of
from canaryrollout.core.preflight.structure import subset_mismatch
from canaryrollout.core.snapshot import Problem, Raw
from canaryrollout.core.undoing import remembered


def serving_version(given: Input) -> str | Problem:
    """The version that serves everything now, ready or not: as told, as routed, or the only one with ready pods."""
    return given.spec.stable_version or _routed_version(given) or _only_version(given)


def find_stable(given: Input) -> str | Problem:
    """The version that serves everything now, which has to have a ready pod."""
    found = serving_version(given)
    if isinstance(found, Problem):
        return found
    pods = given.snapshot.versions.get(found)
    if pods is None or pods.ready == 0:
        return Problem(
            "StableNotReady",
            f"version {found!r} serves {given.spec.service!r} but has no ready endpoint: wait for its pods or correct spec.stableVersion",
        )
    return found


def _routed_version(given: Input) -> str | Problem | None:
    service = inputs.chosen_virtual_service(given)
    names = given.spec.virtual_service.routes
    live = vs.live_subsets(service, given.host, names) if service else set()
    if service and len(live) > 1:
        # A pin by a match says nothing about the version that everybody else gets.
        live = vs.live_subsets(service, given.host, names, unmatched=True) or live
    if not live or live == {""}:
        return None
    rule = rule_of(given)
    versions = {subset: dr.version_of(rule, given.spec.version_label, subset) for subset in sorted(live)}
    if len(live) > 1:
        split = ", ".join(f"{subset or 'no subset'} ({version or 'unknown version'})" for subset, version in versions.items())
        return Problem("StableUnknown", f"traffic is already split between {split}: name the version to keep in spec.stableVersion")
    subset, version = next(iter(versions.items()))
    if version is None:
        return Problem(
            "SubsetNotFound",
            f"live routes use subset {subset!r}, but no DestinationRule of this namespace says which {given.spec.version_label} it selects",
        )
    return version


def _only_version(given: Input) -> str | Problem:
    serving = sorted(version for version, pods in given.snapshot.versions.items() if pods.ready)
    if len(serving) == 1:
        return serving[0]
    if not serving:
        label = given.spec.version_label
        return Problem(
            "NoVersions",
            f"no ready pod of Service {given.spec.service!r} carries the label {label!r}: label the pods or set spec.versionLabel",
        )
    return Problem(
        "StableUnknown",
        f"versions {', '.join(serving)} all serve and no route tells them apart: name the one to keep in spec.stableVersion",
    )


def _subset(given: Input, version: str) -> tuple[str, bool]:
    """The subset of a version and whether the operator has to add it."""
    found = dr.find_subset(rule_of(given), given.spec.version_label, version)
    return (str(found["name"]), False) if found else (dr.subset_name(version), True)


def _serving_subset(given: Input, version: str) -> tuple[str, bool]:
    """As above; of several subsets for the version, the one that routes use."""
    service = inputs.chosen_virtual_service(given)
    for name in sorted(vs.live_subsets(service, given.host, given.spec.virtual_service.routes)) if service else ():
        if dr.version_of(rule_of(given), given.spec.version_label, name) == version:
            return name, False
    return _subset(given, version)


def adopt(given: Input, stable: str) -> Routing | Problem:
    """The routing with which everything is pinned to `stable`."""
    stable_subset, added_stable = _serving_subset(given, stable)
    mismatch = subset_mismatch(given, stable_subset, stable)
    if mismatch is not None:
        return mismatch
    canary_subset, unknown_canary = _subset(given, given.spec.version)
    if unknown_canary or given.spec.version == stable:
        canary_subset = ""
    routing = Routing(
        virtual_service=inputs.virtual_service_name(given),
        destination_rule=inputs.destination_rule_name(given),
        stable_subset=stable_subset,
        added_stable_subset=added_stable,
        canary_subset=canary_subset,
        version_label=given.spec.version_label,
    )
    return _with_routes(given, routing)


def begin(given: Input, routing: Routing, stable: str) -> Routing | Problem:
    """The routing of a rollout from `stable` to the spec's version, read off the mesh as it is now."""
    canary_subset, added = _subset(given, given.spec.version)
    found = dr.find_subset(rule_of(given), given.spec.version_label, given.spec.version) or {}
    added = added or canary_subset == routing.retired_subset
    policy = found.get("trafficPolicy") if not added else None
    stable_subset, lost = _serving_subset(given, stable)
    if lost:  # the routes still use the name it had
        stable_subset = routing.stable_subset
    mismatch = subset_mismatch(given, stable_subset, stable) or subset_mismatch(given, canary_subset, given.spec.version)
    if mismatch is not None:
        return mismatch
    renewed = routing.model_copy(
        update={
            "virtual_service": inputs.virtual_service_name(given),
            "destination_rule": inputs.destination_rule_name(given),
            "stable_subset": stable_subset,
            "added_stable_subset": lost or (routing.added_stable_subset and stable_subset == routing.stable_subset),
            "canary_subset": canary_subset,
            "added_canary_subset": added,
            "canary_policy_before": dict(policy) if policy is not None else None,
            "trial_policy": given.spec.canary_traffic_policy is not None,
            "version_label": given.spec.version_label,
            "pinned": (),  # those of this rollout are noted while it goes on
            "others": None,
        }
    )
    return _with_routes(given, renewed)


def _with_routes(given: Input, routing: Routing) -> Routing | Problem:
    routing = routing.model_copy(update={"only_routes": given.spec.virtual_service.routes})
    service = inputs.chosen_virtual_service(given)
    created = service is None
    if service is None:
        # A VirtualService of our own is a single route that starts at stable.
        service = vs.new_virtual_service(routing.virtual_service, given.namespace, given.host, routing.stable_subset)
    stable, canary, only = routing.stable_subset, routing.canary_subset, routing.only_routes
    verdicts = route_rule.explain_routes(service, given.host, stable, canary, only)
    records = route_rule.moving_routes(service, given.host, stable, canary, only)
    problem = (
        _listed_problem(routing, verdicts)
        or _none_moves(routing, verdicts)
        or _records_problem(given, routing, service, records)
        or _opaque_problem(given, routing)
    )
    if problem is not None:
        return problem
    if created:  # where there is no VirtualService all of a Service's pods get its requests
        records = tuple(record.model_copy(update={"narrowed": True}) for record in records)
    return remembered(routing.model_copy(update={"roots": _roots(given, service)}), records, vs.route_keys(service))


def _roots(given: Input, service: Raw) -> tuple[str, ...]:
    if not is_delegate(service):
        return ()
    return tuple("/".join(identity(root)) for root in roots_of(service, inputs.all_virtual_services(given)))[:ROOTS_LIMIT]


def _listed_problem(routing: Routing, verdicts: tuple[route_rule.RouteVerdict, ...]) -> Problem | None:
    """Every route that the spec names must exist and be one that moves."""
    name = routing.virtual_service
    known = {verdict.name for verdict in verdicts if verdict.name}
    for wanted in routing.only_routes or ():
        if wanted not in known:
            there = f"those that have a name are {', '.join(sorted(known))}" if known else "none of its routes has a name"
            return Problem(
                "RouteNotFound",
                f"spec.virtualService.routes names {wanted!r}, but VirtualService {name!r} has no HTTP route of that name ({there}): "
                "correct the list",
            )
        fixed = next((verdict for verdict in verdicts if verdict.name == wanted and not verdict.moves), None)
        if fixed is not None:
            return Problem(
                "RouteNotMovable",
                f"spec.virtualService.routes names {wanted!r}, but that route of VirtualService {name!r} {fixed.explanation}: "
                f"take it off the list, or send its traffic to subset {routing.stable_subset!r}",
            )
    return None


def _none_moves(routing: Routing, verdicts: tuple[route_rule.RouteVerdict, ...]) -> Problem | None:
    if any(verdict.moves for verdict in verdicts):
        return None
    told = "; ".join(f"{verdict.label} {verdict.explanation}" for verdict in verdicts[:_ROUTES_TOLD])
    more = f"; and {len(verdicts) - _ROUTES_TOLD} more" if len(verdicts) > _ROUTES_TOLD else ""
    return Problem(
        "NoMovableRoute",
        f"no HTTP route of VirtualService {routing.virtual_service!r} sends the service's traffic to subset "
        f"{routing.stable_subset!r}, or to it and the version in spec.version: {told}{more}",
    )


_ROUTES_TOLD = 5
ROOTS_LIMIT = 64


def _records_problem(given: Input, routing: Routing, service: Raw, records: tuple[RouteRecord, ...]) -> Problem | None:
    """What moves must be few enough to remember, and such that it can be given back."""
    if len(records) > ROUTES_LIMIT:
        return Problem(
            "TooManyRoutes",
            f"{len(records)} HTTP routes of VirtualService {routing.virtual_service!r} send traffic to {given.spec.service!r}, "
            f"more than the {ROUTES_LIMIT} that can be kept track of: split it, or merge routes",
        )
    repeated = route_rule.repeated_destination(service, given.host, records, routing.stable_subset)
    if repeated is not None:
        return Problem(
            "RepeatedDestination",
            f"a route of VirtualService {routing.virtual_service!r} has several destinations for subset {repeated!r}, whose weights "
            "could not be given back as they were: leave one",
        )
    return None


def _opaque_problem(given: Input, routing: Routing) -> Problem | None:
    """A TCP or TLS route on stable's subset would keep its connections there when stable is retired."""
    for service in given.snapshot.mesh.virtual_services:
        for found in opaque_destinations(service, given.host):
            if found.subset == routing.stable_subset:
                return Problem(
                    "OpaqueRouteOnStable",
                    f"{found.path} of VirtualService {found.virtual_service!r} sends TCP or TLS connections to subset {found.subset!r}, "
                    "which no HTTP metric counts: they would neither move nor be judged, and lose their endpoints when that version "
                    "goes: give the route a destination without a subset, or a subset that selects more than one version",
                )
    return None


def next_step(spec: CanaryRolloutSpec, weight: int) -> tuple[int, int] | None:
    """Index and weight of the first step above `weight`; None after the last. Edited steps apply from now on."""
    return next(((index, step.weight) for index, step in enumerate(spec.steps) if step.weight > weight), None)
