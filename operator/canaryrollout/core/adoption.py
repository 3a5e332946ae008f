"""Which version serves now, and what a rollout finds in the mesh when it begins."""

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import Routing
from canaryrollout.core import destination_rules as dr
from canaryrollout.core import preflight
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.preflight import Input
from canaryrollout.core.snapshot import Problem, Raw


def find_stable(given: Input) -> str | Problem:
    """The version that serves everything now: as told, as routed, or the only one with ready pods."""
    found = given.spec.stable_version or _routed_version(given) or _only_version(given)
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
    service = preflight.chosen_virtual_service(given)
    live = vs.live_subsets(service, given.host) if service else set()
    if not live or live == {""}:
        return None
    rule = _rule(given)
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


def _rule(given: Input) -> Raw | None:
    return next(iter(dr.for_host(given.snapshot.mesh.destination_rules, given.host)), None)


def _subset(given: Input, version: str) -> tuple[str, bool]:
    """The subset of a version and whether the operator has to add it."""
    found = dr.find_subset(_rule(given), given.spec.version_label, version)
    return (str(found["name"]), False) if found else (dr.subset_name(version), True)


def adopt(given: Input, stable: str) -> Routing | Problem:
    """The routing with which everything is pinned to `stable`."""
    stable_subset, added_stable = _subset(given, stable)
    canary_subset, unknown_canary = _subset(given, given.spec.version)
    canary_subset = "" if unknown_canary or canary_subset == stable_subset else canary_subset
    routing = Routing(
        virtual_service=preflight.virtual_service_name(given),
        destination_rule=preflight.destination_rule_name(given),
        stable_subset=stable_subset,
        added_stable_subset=added_stable,
        canary_subset=canary_subset,
    )
    return _with_routes(given, routing)


def begin(given: Input, routing: Routing) -> Routing | Problem:
    """The routing of a rollout to the spec's version, read off the mesh as it is now."""
    canary_subset, added = _subset(given, given.spec.version)
    found = dr.find_subset(_rule(given), given.spec.version_label, given.spec.version) or {}
    added = added or canary_subset == routing.retired_subset
    policy = found.get("trafficPolicy") if not added else None
    renewed = routing.model_copy(
        update={
            "virtual_service": preflight.virtual_service_name(given),
            "destination_rule": preflight.destination_rule_name(given),
            "canary_subset": canary_subset,
            "added_canary_subset": added,
            "canary_policy_before": dict(policy) if policy else None,
        }
    )
    return _with_routes(given, renewed)


def _with_routes(given: Input, routing: Routing) -> Routing | Problem:
    service = preflight.chosen_virtual_service(given)
    if service is None:
        # A VirtualService of our own is a single route named "primary" that starts at stable.
        own = vs.new_virtual_service(routing.virtual_service, given.namespace, given.host, routing.stable_subset)
        records = vs.moving_routes(own, given.host, routing.stable_subset, routing.canary_subset)
        return routing.model_copy(update={"routes": records, "created_virtual_service": True})
    records = vs.moving_routes(service, given.host, routing.stable_subset, routing.canary_subset)
    if not records:
        return Problem(
            "NoMovableRoute",
            f"no HTTP route of VirtualService {routing.virtual_service!r} sends the service's traffic to subset "
            f"{routing.stable_subset!r} alone: routes pinned to other subsets do not move",
        )
    return routing.model_copy(update={"routes": records})


def next_step(spec: CanaryRolloutSpec, weight: int) -> tuple[int, int] | None:
    """Index and weight of the first step above `weight`; None after the last. Edited steps apply from now on."""
    return next(((index, step.weight) for index, step in enumerate(spec.steps) if step.weight > weight), None)
