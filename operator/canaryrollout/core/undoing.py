"""Taking the operator's traces out of the user's objects when a CanaryRollout is deleted (deletionPolicy Undo).

A plain host sends requests to every pod of the Service. So what was narrowed is widened again only while no other version has
pods: then both mean the same pods, and no request changes its way. While another version has pods, or pods carry no version at all,
everything stays narrowed.
"""

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import ROUTES_LIMIT, CanaryRolloutStatus, Phase, RouteRecord, Routing
from canaryrollout.core import route_rule
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.snapshot import Raw, Snapshot

AT_REST = frozenset({Phase.ADOPTING, Phase.STABLE, Phase.ROLLED_BACK})
"""Phases without traffic on a canary, in which there may be something to take out all the same."""


def owes(spec: CanaryRolloutSpec, status: CanaryRolloutStatus) -> bool:
    """Whether something of the operator's is in the mesh that has to go with the object."""
    routing = status.routing
    if spec.deletion_policy != "Undo" or routing is None:
        return False
    return bool(routing.narrowed or routing.added_stable_subset or routing.retired_subset or status.phase is Phase.ADOPTING)


def alone(status: CanaryRolloutStatus, snapshot: Snapshot) -> bool:
    """Whether the Service is known to have no pods but stable's. Without the Service nobody knows: it may come back before they go."""
    if not snapshot.observed_endpoints:
        return False
    stable = status.rollout.stable if status.rollout is not None else status.stable_version
    label = status.routing.version_label if status.routing is not None else ""
    if label and not all(pod.labels.get(label) == stable for pod in snapshot.pods or ()):
        return False
    return all(version == stable or pods.total == 0 for version, pods in snapshot.versions.items())


def widening(status: CanaryRolloutStatus, spec: CanaryRolloutSpec, snapshot: Snapshot) -> bool:
    """Whether the object is being deleted and its traces go."""
    return status.phase is Phase.RESTORING and spec.deletion_policy == "Undo" and alone(status, snapshot)


def left_behind(status: CanaryRolloutStatus) -> str:
    """What stays where another version has pods."""
    routing = status.routing
    named = f"subset {routing.stable_subset!r}" if routing is not None else "its subset"
    return (
        f"the routes stay at {named} (version {status.stable_version}), for another version has "
        "pods (or the Service has some without a version) that would get requests otherwise, or may have, while the Service is not there"
    )


def remembered(routing: Routing, records: tuple[RouteRecord, ...], keys: list[str]) -> Routing:
    """The routing with what is narrowed now, and with what was before and is still there."""
    before = set(routing.narrowed)
    marked = tuple(record.model_copy(update={"narrowed": record.narrowed or record.key in before}) for record in records)
    now = {record.key for record in marked if record.narrowed}
    return routing.model_copy(update={"routes": marked, "narrowed": tuple(key for key in keys if key in before | now)[:ROUTES_LIMIT]})


def at_rest(routing: Routing, service: Raw | None, host: ServiceHost) -> Routing:
    """The routing by which a resting object's traces are taken out: the routes that were narrowed, and no canary."""
    plain: tuple[RouteRecord, ...] = ()
    if service is not None:
        moving = route_rule.moving_routes(service, host, routing.stable_subset, "")
        plain = tuple(record.model_copy(update={"narrowed": True}) for record in moving if record.key in routing.narrowed)
    return routing.model_copy(update={"routes": plain, "canary_subset": "", "added_canary_subset": False})
