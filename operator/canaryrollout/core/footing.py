"""What a rollout under way stands on although it is other people's: routes that move, and stable's subset."""

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus
from canaryrollout.core import destination_rules as dr
from canaryrollout.core.phases import EXAMINED
from canaryrollout.core.snapshot import Problem, Raw


def unmoved(status: CanaryRolloutStatus) -> bool:
    """Whether a rollout has no route left to move."""
    return status.phase in EXAMINED and status.routing is not None and not status.routing.routes


def unmoved_problem(status: CanaryRolloutStatus) -> Problem:
    """The same, for people."""
    name = status.routing.virtual_service if status.routing is not None else ""
    return Problem(
        "NoMovableRoute",
        f"none of the HTTP routes of VirtualService {name!r} that were to move is there any more under its name or match: give one of "
        "them back, or set spec.version back to end the rollout",
    )


def relabelled(status: CanaryRolloutStatus, spec: CanaryRolloutSpec, rule: Raw | None) -> Problem | None:
    """That stable's subset selects another version in mid-rollout: one of the operator's own gets its label back, one of people's not."""
    rollout, routing = status.rollout, status.routing
    if rollout is None or routing is None or status.phase not in EXAMINED:
        return None
    label = routing.version_label or spec.version_label
    if not dr.name_is_taken(rule, label, routing.stable_subset, rollout.stable):
        return None
    said = f"subset {routing.stable_subset!r} of DestinationRule {routing.destination_rule!r} does not select {label}={rollout.stable}"
    return Problem("SubsetMismatch", f"{said} any more, so that stable's requests go elsewhere: correct its labels")
