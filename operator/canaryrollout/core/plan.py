"""From the status's intent and the live Istio objects to the next mesh move and what the proxies must prove.

The order is invariant 2 of the design: subsets, then their clusters in every proxy, then weights, then the routes in every
proxy; on the way out the routes first, and only after their proof the subsets.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from canaryrollout.api.drift import DriftKind
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase, Routing
from canaryrollout.core import destination_rules as dr
from canaryrollout.core import envoy_routes
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.decision import CreateObject, MeshWrite, PatchObject
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.lazy import lazy
from canaryrollout.core.memory import Memory
from canaryrollout.core.snapshot import Expectation, MeshObjects, Raw

ON_TRIAL = frozenset({Phase.PREPARING, Phase.SHIFTING, Phase.ANALYSING, Phase.PAUSED})
"""Phases in which the canary's subset carries its trial policy and its destination stays in the routes."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the mesh must look like in a phase."""

    split: vs.Split
    subsets: tuple[dr.SubsetTarget, ...]
    write_routes: bool
    """Whether this phase has the routes proved (preparing only brings the subset, and keeps the routes as they were)."""
    clusters_first: bool = False
    """Whether the subsets' clusters must be proved before the routes are written (elsewhere they are proved already)."""
    dress: tuple[dr.SubsetTarget, ...] = ()
    """Subset policies to set after the routes are proved."""
    drop_subsets: tuple[str, ...] = ()
    """Subsets to remove after the routes are proved."""
    verify: bool = True
    """Whether Envoys are read where the spec asks for it. Not for a deletion: it must not hang on that."""


@dataclass(frozen=True)
class MeshPlan:
    """The moves still open, in order; None where nothing is to do. Each proof precedes the move after it."""

    subsets: MeshWrite | None
    clusters: Expectation
    """To be proved before `routes` is written."""
    routes: MeshWrite | None
    cleanup: MeshWrite | None
    """Only after `splits` is proved."""
    expected: Callable[[], Expectation] | None = field(default=None, repr=False, compare=False)
    """Works `splits` out: most passes do not ask for it."""
    clusters_first: bool = False
    wanted: str = ""
    """Digest of the target: while it is the same, every new move undoes what somebody else did."""

    @lazy
    def splits(self) -> Expectation | None:
        """To be proved once the routes are written; None where the phase writes no routes."""
        return self.expected() if self.expected is not None else None

    @property
    def deviating(self) -> frozenset[DriftKind]:
        """The objects that do not look as wanted."""
        moves: tuple[tuple[DriftKind, MeshWrite | None], ...] = (("DestinationRule", self.subsets), ("VirtualService", self.routes))
        return frozenset(kind for kind, write in moves if write is not None)

    @property
    def pending(self) -> bool:
        """Whether a write has to come before anything can be asked."""
        return self.subsets is not None or (self.routes is not None and not self.clusters_first)

    @property
    def question(self) -> Expectation | None:
        """What to ask the proxies now; None while a write has to come first."""
        if self.pending:
            return None
        if self.routes is not None:
            return self.clusters
        return self.splits if self.splits is not None else self.clusters


def target_of(status: CanaryRolloutStatus, spec: CanaryRolloutSpec, routing: Routing, *, widen: bool = False) -> Target:
    """The mesh that the status wants. `widen`: the operator's traces are to go (core.undoing)."""
    phase, rollout, weight, stable = status.phase, status.rollout, status.weight, status.stable_version
    if widen:
        return _without_traces(routing, rollout.version if rollout is not None else "")
    if phase is Phase.ADOPTING or rollout is None:
        split = vs.Split(routing.stable_subset, routing.canary_subset, weight=0, keep_canary=True)
        kept = dr.SubsetTarget(routing.stable_subset, stable, own=routing.added_stable_subset)
        return Target(split, (kept,), write_routes=True, clusters_first=True)
    kept, own = dr.SubsetTarget(routing.stable_subset, rollout.stable, own=routing.added_stable_subset), routing.added_canary_subset
    if phase in ON_TRIAL:
        wanted = spec.canary_traffic_policy
        policy = routing.canary_policy_before if wanted is None else wanted
        canary = dr.SubsetTarget(routing.canary_subset, rollout.version, policy, manage_policy=routing.trial_policy, own=own)
        split = vs.Split(routing.stable_subset, routing.canary_subset, weight, keep_canary=phase is not Phase.PREPARING)
        return Target(split, (kept, canary), write_routes=phase is not Phase.PREPARING)
    undressed = dr.SubsetTarget(routing.canary_subset, rollout.version, routing.canary_policy_before, manage_policy=routing.trial_policy)
    if phase is Phase.PROMOTING:
        split = vs.Split(routing.stable_subset, routing.canary_subset, 100, keep_canary=True, keep_stable=False)
        retired = (routing.retired_subset,) if routing.retired_subset != routing.canary_subset else ()
        canary = dr.SubsetTarget(routing.canary_subset, rollout.version, own=own)
        return Target(split, (canary,), write_routes=True, dress=(undressed,), drop_subsets=retired)
    split, verify = vs.Split(routing.stable_subset, routing.canary_subset, 0, keep_canary=False), phase is not Phase.RESTORING
    if routing.added_canary_subset:
        return Target(split, (kept,), write_routes=True, drop_subsets=(routing.canary_subset,), verify=verify)
    return Target(split, (kept,), write_routes=True, dress=(undressed,), verify=verify)


def _without_traces(routing: Routing, canary_version: str) -> Target:
    """As if the operator had never been there: plain hosts are plain again, and only subsets that are not its own are left."""
    own = (
        (routing.added_canary_subset, routing.canary_subset),
        (routing.added_stable_subset, routing.stable_subset),
        (bool(routing.retired_subset), routing.retired_subset),
    )
    dress: tuple[dr.SubsetTarget, ...] = ()
    if routing.canary_subset and not routing.added_canary_subset and routing.trial_policy:
        dress = (dr.SubsetTarget(routing.canary_subset, canary_version, routing.canary_policy_before, manage_policy=True),)
    split = vs.Split(routing.stable_subset, routing.canary_subset, 0, keep_canary=False, widen=True)
    return Target(split, (), write_routes=True, dress=dress, drop_subsets=tuple(name for added, name in own if added), verify=False)


def make_plan(
    target: Target, routing: Routing, spec: CanaryRolloutSpec, host: ServiceHost, mesh: MeshObjects, *, around: tuple[Raw, ...] = ()
) -> MeshPlan:
    """Compare the target with the live objects. `around` are VirtualServices of other namespaces: they may be a delegate's roots, or use
    a subset that is to go.
    """
    return _PLANS((routing, spec, mesh, around), (target, host))


def _made(same: tuple[Routing, CanaryRolloutSpec, MeshObjects, tuple[Raw, ...]], alike: tuple[Target, ServiceHost]) -> MeshPlan:
    routing, spec, mesh, around = same
    target, host = alike
    rule = named(mesh.destination_rules, routing.destination_rule)
    service = named(mesh.virtual_services, routing.virtual_service)
    label = routing.version_label or spec.version_label
    subsets = _subset_write(target, routing, label, host, rule)
    wanted = tuple(subset.name for subset in target.subsets)
    verify = target.verify and spec.sync.verify == "envoy"
    clusters = Expectation(host.namespace, host.fqdn, routing.virtual_service, wanted, revision=_revision(rule, mesh), verify=verify)
    shown = envoy_routes.shown(service, host, (*mesh.virtual_services, *around), recorded_roots(routing)) if service is not None else None
    if shown is not None and shown.sources != ((host.namespace, routing.virtual_service),):
        # In every question: what was learned for one serves the next.
        clusters = replace(clusters, sources=shown.sources)
    wanted_now = _digest(target, routing)
    routes = _route_write(target, routing, host, service)
    if not target.write_routes:  # what somebody sends to the canary before its first step is taken back; the next phase proves it
        back = routes if service is not None else None
        at_once = service is not None and vs.gives(service, host, routing.routes, target.split.canary)
        return MeshPlan(subsets, clusters, back, None, clusters_first=target.clusters_first and not at_once, wanted=wanted_now)
    expected = partial(_splits_expectation, clusters, service, shown, mesh) if service is not None and shown is not None else None
    cleanup = _cleanup(target, routing, label, host, replace(mesh, virtual_services=(*mesh.virtual_services, *around)))
    return MeshPlan(subsets, clusters, routes, cleanup, expected, target.clusters_first, wanted_now)


_PLANS = Memory(_made)


def _digest(target: Target, routing: Routing) -> str:
    objects = routing.virtual_service, routing.destination_rule, routing.routes
    return hashlib.sha256(repr((target.split, target.subsets, target.write_routes, objects)).encode()).hexdigest()[:16]


def _splits_expectation(clusters: Expectation, service: Raw, shown: envoy_routes.Shown, mesh: MeshObjects) -> Expectation:
    return replace(
        clusters,
        splits=shown.allowed,
        required=shown.required,
        revision=_revision(service, mesh),
        sidecars=shown.sidecars,
        visible_in=shown.visible_in,
    )


def recorded_roots(routing: Routing) -> tuple[tuple[str, str], ...]:
    """(namespace, name) of the roots that a delegate had when the rollout began."""
    return tuple((namespace, name) for namespace, _, name in (root.partition("/") for root in routing.roots))


def _revision(item: Raw | None, mesh: MeshObjects) -> str:
    revision = str(item["metadata"]["resourceVersion"]) if item is not None else ""
    return mesh.since.get(revision, revision)


def named(objects: tuple[Raw, ...], name: str) -> Raw | None:
    """The object of that name."""
    return next((item for item in objects if item["metadata"]["name"] == name), None)


def _patch(kind: Any, name: str, operations: list[dict[str, Any]]) -> PatchObject | None:
    return PatchObject(kind, name, tuple(operations)) if operations else None


def _subset_write(target: Target, routing: Routing, label: str, host: ServiceHost, rule: Raw | None) -> MeshWrite | None:
    name = routing.destination_rule
    if rule is None and not target.subsets:
        return None
    if rule is None:
        body: Mapping[str, Any] = dr.new_rule(name, host.namespace, host, target.subsets, label)
        return CreateObject("DestinationRule", name, body)
    return _patch("DestinationRule", name, dr.ensure_subsets(rule, target.subsets, label))


def _route_write(target: Target, routing: Routing, host: ServiceHost, service: Raw | None) -> MeshWrite | None:
    name = routing.virtual_service
    if service is None:
        # With hosts Istio would not take it for the delegate that its roots name, and only listed routes move.
        delegate, route = bool(routing.roots), routing.only_routes[0] if routing.only_routes else "primary"
        body = vs.new_virtual_service(name, host.namespace, host, target.split.stable, delegate=delegate, route=route)
        return CreateObject("VirtualService", name, body)
    return _patch("VirtualService", name, vs.split_operations(service, host, routing.routes, target.split))


def _cleanup(target: Target, routing: Routing, label: str, host: ServiceHost, mesh: MeshObjects) -> MeshWrite | None:
    rule = named(mesh.destination_rules, routing.destination_rule)
    if rule is None:
        return None
    operations = dr.ensure_subsets(rule, tuple(d for d in target.dress if d.manage_policy), label)
    # Somebody may have pinned a route, of any VirtualService, to the subset: without it that route answers 503.
    for leaving in target.drop_subsets:
        if not operations and leaving and not any(vs.names_subset(service, host, leaving) for service in mesh.virtual_services):
            operations = dr.remove_subset(rule, leaving)
    return _patch("DestinationRule", routing.destination_rule, operations)
