"""Kubernetes Events of a pass: one per transition worth a person's attention, with its numbers."""

from canaryrollout.api.drift import DRIFT_LIMIT
from canaryrollout.api.status import CanaryRolloutStatus, Condition, Phase, Routing
from canaryrollout.core import undoing
from canaryrollout.core.decision import EmitEvent
from canaryrollout.core.drift import noticed, recent
from canaryrollout.core.drift_wording import drifted
from canaryrollout.core.preflight.chain import KINDS

_TOLD = {
    Phase.ADOPTING: ("Adopting", "pinning all traffic to the version that serves now, {stable}"),
    Phase.PREPARING: ("RolloutStarted", "rolling out version {version}; stable is {stable}"),
    Phase.SHIFTING: ("StepStarted", "step {step}: {weight} % to version {version}"),
    Phase.ANALYSING: ("StepSynced", "step {step}: every proxy has acknowledged {weight} % for version {version}; counting begins"),
    Phase.PROMOTING: ("Promoting", "version {version} passed all steps; the old version leaves the routes"),
}
TRACES_GO = "deleted: what the operator narrowed and added is taken out again"

_ORDINARY = frozenset(
    {"NotObserved", "BetweenPolls", "NoTraffic", "NoCanaryTraffic", "NotEnoughRequests", "CollectingEvidence", "WarmingUp"}
)
"""States of the analysis that every step goes through."""

_HOLDING = frozenset(kind.code for kind in KINDS)
"""Findings of preflight: as errors they hold a rollout that is under way."""

_WARNED = {Phase.ROLLING_BACK: "RollingBack", Phase.PAUSED: "Paused", Phase.RESTORING: "Restoring"}


def transition_events(before: CanaryRolloutStatus, after: CanaryRolloutStatus) -> tuple[EmitEvent, ...]:
    """What to tell about the step from `before` to `after`; nothing where the phase stayed."""
    if before.phase is after.phase:
        return _problem_events(before, after)
    rollout = after.rollout or before.rollout
    words = {
        "stable": after.stable_version,
        "version": rollout.version if rollout else "",
        "step": after.step or before.step,
        "weight": after.weight,
    }
    if (before.phase, after.phase) == (Phase.ANALYSING, Phase.SHIFTING) and before.weight == after.weight:
        return ()  # somebody changed the routes, which is told as such, or the spec's trial policy
    if after.phase in _TOLD:
        reason, template = _TOLD[after.phase]
        return (EmitEvent(reason, template.format(**words) + (_read(after) if after.phase is Phase.ANALYSING else "")),)
    if after.phase in _WARNED:
        return (EmitEvent(_WARNED[after.phase], rollout.explanation if rollout and rollout.ended_at is None else TRACES_GO, warning=True),)
    return _arrivals(before, after)


def _read(status: CanaryRolloutStatus) -> str:
    """How many Envoys a step's proof rests on besides, where any were read."""
    count = status.proxies.envoys_read if status.proxies is not None else 0
    return f"; {count} Envoys were read and have it" if count else ""


def drift_events(before: CanaryRolloutStatus, after: CanaryRolloutStatus) -> tuple[EmitEvent, ...]:
    """A foreign change. Of a manager that insists the first ones are told one by one, then it is only named once more."""
    drift = after.drift
    if drift is None or after.routing is None or not noticed(before.drift, drift):
        return ()
    now = drift.times[-1]
    key = f"insists: {drift.manager}" if recent(drift, now) >= DRIFT_LIMIT else f"at {now:.3f}"
    return (EmitEvent("Drifted", drifted(drift, after.routing, now), warning=True, key=key),)


def left_behind(status: CanaryRolloutStatus) -> EmitEvent:
    """What a deleted object with deletionPolicy Undo could not take with it."""
    return EmitEvent("LeftNarrowed", f"deleted: {undoing.left_behind(status)}", warning=True)


def not_cleaned_up(routing: Routing) -> EmitEvent:
    """Of a phase that has ended all the same."""
    message = (
        f"DestinationRule {routing.destination_rule} still has a subset or a trafficPolicy of the trial: somebody puts it back each time, "
        "or the write is refused. No route needs it, so it stays: take it out, and out of what applies the object, by hand"
    )
    return EmitEvent("LeftOver", message, warning=True)


def forecast_events(before: CanaryRolloutStatus, after: CanaryRolloutStatus) -> tuple[EmitEvent, ...]:
    """How long it will take, as soon as the hour before has been looked at, and what to know, once in a rollout."""
    if after.rollout is None:
        return ()
    known = before.rollout if before.rollout is not None and before.rollout.started_at == after.rollout.started_at else None
    fresh = after.rollout.forecast and (known is None or not known.forecast)
    said = {notice.reason for notice in known.notices} if known is not None else set()
    told = (EmitEvent("Forecast", after.rollout.forecast),) if fresh else ()
    return (*told, *(EmitEvent(n.reason, n.message, warning=True) for n in after.rollout.notices if n.reason not in said))


def _arrivals(before: CanaryRolloutStatus, after: CanaryRolloutStatus) -> tuple[EmitEvent, ...]:
    if after.phase is Phase.ROLLED_BACK and after.rollout is not None:
        text = f"all proxies are back on {after.stable_version}; {after.rollout.explanation}"
        return (EmitEvent("RolledBack", text, warning=True),)
    if before.phase is Phase.ADOPTING and after.drift is not None and after.drift.stopped:
        return ()  # nothing was proved, and the condition Stalled says why
    if before.phase is Phase.ADOPTING:
        return (EmitEvent("Adopted", f"all proxies serve version {after.stable_version}"),)
    if before.phase is Phase.PROMOTING:
        return (EmitEvent("Promoted", f"version {after.stable_version} serves all traffic, acknowledged by all proxies"),)
    if before.phase is Phase.ROLLING_BACK and before.rollout is not None:
        return (EmitEvent("RolloutUndone", f"all proxies are back on {after.stable_version}; {before.rollout.explanation}"),)
    return ()


def _problem_events(before: CanaryRolloutStatus, after: CanaryRolloutStatus) -> tuple[EmitEvent, ...]:
    """A new reason why nothing goes on: told once in a step, however often it comes and goes, and with whatever numbers."""
    if after.message == before.message:
        return ()
    old = {(c.type, c.status, c.reason) for c in before.conditions}
    fresh = [c for c in after.conditions if (c.type, c.status, c.reason) not in old]
    key = f"step {after.step}" if after.rollout is not None else ""
    return tuple(EmitEvent(c.reason, c.message, warning=True, key=key) for c in fresh if _alarming(c))


def _alarming(condition: Condition) -> bool:
    if condition.type == "Stalled":
        return condition.status == "True"
    if condition.type == "Reconciling":  # under way, and held by something
        return condition.status == "True" and condition.reason in _HOLDING
    return condition.type in ("Analysis", "ProxiesSynced") and condition.status == "Unknown" and condition.reason not in _ORDINARY
