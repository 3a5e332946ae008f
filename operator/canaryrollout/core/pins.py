"""The routes that were left on stable, recorded at rest: which of them somebody has sent elsewhere since.

A route is the recorded one as long as its key and its matches are the same: one that people newly pin by a match is theirs. Only
where a route sends requests matters, by version: another subset of the same version is as good.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, RouteRecord, Routing
from canaryrollout.core import destination_rules as dr
from canaryrollout.core import virtual_services as vs
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.known_routes import pin
from canaryrollout.core.plan import MeshPlan, Target, make_plan, named
from canaryrollout.core.shapes import mappings
from canaryrollout.core.snapshot import MeshObjects, Raw


def pinned(service: Raw | None, records: tuple[RouteRecord, ...]) -> tuple[str, ...]:
    """The recorded routes with their matches, as they are now."""
    keys = {record.key for record in records}
    return tuple(known for key, known, _ in _routes(service) if key in keys) if service is not None else ()


def _routes(service: Raw) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(key, pin, route) of every HTTP route."""
    found = zip(vs.route_keys(service), vs.http_routes(service), strict=True)
    return [(key, pin(key, vs.match_digest(route)), route) for key, route in found]


def pinning(routing: Routing, status: CanaryRolloutStatus, spec: CanaryRolloutSpec, mesh: MeshObjects) -> Routing | None:
    """The routing with which the pinned routes go back to stable; None where none of them is there."""
    service, rule = named(mesh.virtual_services, routing.virtual_service), named(mesh.destination_rules, routing.destination_rule)
    if service is None:
        return None
    label = routing.version_label or spec.version_label
    wanted = set(routing.pinned)
    records = tuple(
        RouteRecord(key=key, weightless=vs.weightless(mappings(route.get("route"))))
        for key, known, route in _routes(service)
        if known in wanted
    )
    stable = routing.stable_subset
    if dr.version_of(rule, label, stable) is None:
        found = dr.find_subset(rule, label, status.stable_version)
        stable = str(found["name"]) if found is not None else stable
    return routing.model_copy(update={"routes": records, "canary_subset": "", "stable_subset": stable}) if records else None


def rest_plan(status: CanaryRolloutStatus, spec: CanaryRolloutSpec, host: ServiceHost, mesh: MeshObjects) -> MeshPlan | None:
    """What has to be written so that the pinned routes serve stable again; None while they do."""
    routing = status.routing
    if routing is None or not routing.pinned:
        return None
    renewed = pinning(routing, status, spec, mesh)
    service, rule = named(mesh.virtual_services, routing.virtual_service), named(mesh.destination_rules, routing.destination_rule)
    if renewed is None or service is None:
        return None
    label = routing.version_label or spec.version_label
    live = _live_versions(service, rule, host, label, renewed.routes)
    if live <= {status.stable_version}:
        return None
    own = routing.added_stable_subset and renewed.stable_subset == routing.stable_subset
    target = Target(
        vs.Split(renewed.stable_subset, "", weight=0, keep_canary=True),
        (dr.SubsetTarget(renewed.stable_subset, status.stable_version, own=own),),
        write_routes=True,
        clusters_first=True,
    )
    plan = replace(make_plan(target, renewed, spec, host, mesh), cleanup=None)
    return plan if plan.subsets is not None or plan.routes is not None else None


def _live_versions(service: Raw, rule: Raw | None, host: ServiceHost, label: str, records: tuple[RouteRecord, ...]) -> set[str | None]:
    """The versions that get traffic in these routes; None for a plain host and for a subset that selects none."""
    keys, live = {record.key for record in records}, set[str | None]()
    for key, _, route in _routes(service):
        entries = mappings(route.get("route"))
        for _, entry in vs.service_entries(service, route, host) if key in keys else ():
            if vs.weight_of(entry, entries) > 0:
                live.add(dr.version_of(rule, label, vs.subset_of(entry)))
    return live
