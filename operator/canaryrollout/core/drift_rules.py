"""The part of the transition table that is about foreign changes: noticing them, guards, effects.

What is safest when somebody insists: while something is on trial, hold, with rollback armed, as long as the mesh as it is gives the
canary no more than was intended; else take everything back to stable, and that never gives up. At rest, stop, unless requests
fail outright or a version that has failed could get them.
"""

from collections.abc import Collection

from canaryrollout.api.status import ROUTES_LIMIT, CanaryRolloutStatus, Phase, Routing
from canaryrollout.core import drift, drift_wording, exposure, known_routes, pins
from canaryrollout.core.context import Context
from canaryrollout.core.drift_wording import DRIFT_CONFLICT, TAKEN_OVER
from canaryrollout.core.guards import resume_requested
from canaryrollout.core.phases import AT_REST
from canaryrollout.core.transitions import back, handled, held, paused_by_request, unproved_step


def watched(context: Context, managers: Collection[str]) -> CanaryRolloutStatus:
    """The status with the foreign changes of this pass noticed. `managers` are those whose changes mean that people took over."""
    status, before = context.status, context.status.drift
    if status.routing is None or not context.snapshot.observed_mesh:
        return status
    if before is not None and before.taken_over and status.phase is not Phase.PAUSED and resume_requested(context):
        given_back = before.model_copy(update={"taken_over": "", "times": ()})
        return status.model_copy(update={"drift": given_back, **handled(context, resume=True)})
    if context.taken_over or context.given_way or _given_back(context):
        return status
    if status.phase in AT_REST:
        deviating = context.rest_plan.deviating if context.rest_plan is not None else frozenset()
        after = drift.at_rest(before, drift.Look(deviating, context.snapshot.now, context.author))
    elif context.plan is not None:
        plan = context.plan
        look = drift.Look(plan.deviating, context.snapshot.now, context.author, context.snapshot.landed)
        after = drift.followed(before, plan.wanted, look)
    else:
        return status
    if after is not None and after.manager in managers and drift.noticed(before, after):
        after = after.model_copy(update={"taken_over": after.author})
        return status.model_copy(update={"drift": after, **handled(context, resume=True)})
    return status if after is before or after == before else status.model_copy(update={"drift": after})


def _unproved(context: Context) -> bool:
    """Whether the mesh as somebody left it gives the canary more than intended, or requests to nobody knows what."""
    rollout, routing = context.status.rollout, context.status.routing
    if rollout is None or rollout.revert or routing is None or context.plan is None or not context.plan.deviating:
        return False  # a version that is brought back needs no proof
    return exposure.unproved(_routes(context, routing), rollout.version, context.status.weight)


def _routes(context: Context, routing: Routing) -> exposure.Routes:
    return exposure.Routes(routing, routing.version_label or context.spec.version_label, context.host, context.snapshot.mesh)


def _insists(context: Context) -> bool:
    return drift.flapping(context.status.drift, context.snapshot.now)


def conflict(context: Context) -> bool:
    """Somebody insists, and what they insist on does no harm."""
    return _insists(context) and not context.given_way and not _unproved(context)


def harmful_conflict(context: Context) -> bool:
    """Somebody insists, and what they insist on was never proved."""
    lasting = drift.lasting(context.status.drift, context.snapshot.now)
    return lasting and (_insists(context) or context.given_way) and _unproved(context)


def _stoppable(context: Context) -> bool:
    """Whether nothing fails, and no version that has failed could get requests, if the mesh stays as somebody wants it."""
    status, routing = context.status, context.status.routing
    if routing is None or status.rollout is not None:
        return False
    if status.phase in AT_REST:
        routing = pins.pinning(routing, status, context.spec, context.snapshot.mesh) or routing
    return not exposure.failing(_routes(context, routing))


def conflict_at_rest(context: Context) -> bool:
    """Somebody insists, and nothing is on trial."""
    state = context.status.drift
    return _insists(context) and state is not None and not state.stopped and _stoppable(context)


def drifted_at_rest(context: Context) -> bool:
    """Somebody sent routes away from stable that were left on it, and the time to put that right has come."""
    state, now = context.status.drift, context.snapshot.now
    if state is None or state.stopped or context.rest_plan is None or context.snapshot.problems or context.stable.ready == 0:
        return False
    return state.next_attempt is None or now >= state.next_attempt


def resumed_at_rest(context: Context) -> bool:
    """After a stop at rest somebody asks to try again."""
    state = context.status.drift
    stopped = state is not None and state.stopped
    return stopped and context.rest_plan is not None and resume_requested(context) and not context.snapshot.problems


def taken_over(context: Context) -> bool:
    """People have taken the routing over."""
    return bool(context.taken_over)


def taken_over_in_pause(context: Context) -> bool:
    """As above, while the rollout was held for another reason."""
    rollout = context.status.rollout
    return taken_over(context) and rollout is not None and rollout.reason != TAKEN_OVER


def _given_back(context: Context) -> bool:
    """Whether the routing that people had is the operator's again."""
    return context.status.pause_reason == TAKEN_OVER and not context.taken_over


def given_back_in_pause(context: Context) -> bool:
    """As above, while spec.paused holds the rollout all the same."""
    return _given_back(context) and context.spec.paused


def paused_by_conflict(context: Context) -> CanaryRolloutStatus:
    """Hold: the step counts as unproved, and nothing is written until somebody resumes."""
    state = f"the rollout holds at step {context.status.step}" if context.status.step else "the rollout holds before its first step"
    explanation = f"{state} and writes nothing more; the canary gets no more than was intended, and rollback stays armed"
    stopped = unproved_step(context)
    return held(context.at(stopped), DRIFT_CONFLICT, _conflict(context, explanation))


def rolled_back_by_conflict(context: Context) -> CanaryRolloutStatus:
    """Undo: as the mesh is, the canary gets requests that were never meant for it."""
    explanation = "the canary would get more than was proved, so all traffic goes back to stable, and is kept there"
    return back(context, DRIFT_CONFLICT, _conflict(context, explanation))


def stopped_at_rest(context: Context) -> CanaryRolloutStatus:
    """At rest: leave the routes as somebody wants them, and say so."""
    state = context.status.drift
    stopped = state.model_copy(update={"stopped": True}) if state is not None else None
    return context.status.model_copy(update={"drift": stopped, **handled(context, resume=True)})


def _conflict(context: Context, explanation: str) -> str:
    state, routing = context.status.drift, context.status.routing
    if state is None or routing is None:
        return explanation
    return drift_wording.conflict(state, routing, context.snapshot.now, explanation)


def readopting(context: Context) -> CanaryRolloutStatus:
    """Pin the routes to stable again that were left on it."""
    status, routing = context.status, context.status.routing
    renewed = pins.pinning(routing, status, context.spec, context.snapshot.mesh) if routing is not None else None
    return status if renewed is None else status.model_copy(update={"routing": renewed})


def retrying_at_rest(context: Context) -> CanaryRolloutStatus:
    """As above, on request: what happened before counts no longer."""
    return readopting(context).model_copy(update={"drift": None, **handled(context, resume=True)})


def held_by_people(context: Context) -> CanaryRolloutStatus:
    """Hold, and write nothing at all."""
    return held(context, TAKEN_OVER, takeover_message(context))


def paused_after_takeover(context: Context) -> CanaryRolloutStatus:
    """The step's weights again, whatever people left: what they did counts no longer."""
    return paused_by_request(context).model_copy(update={"drift": None})


def takeover_message(context: Context) -> str:
    """Who has the routing, and what that means."""
    return f"taken over ({context.taken_over}): nothing is written, not even a rollback, until it is given back"


def aimed(context: Context) -> CanaryRolloutStatus:
    """The status after a transition, with what it wants of the mesh: from the first write on others' writes are told from it."""
    status, plan = context.status, context.plan
    return status if plan is None else status.model_copy(update={"drift": drift.aimed(status.drift, plan.wanted, plan.deviating)})


def rested(context: Context, status: CanaryRolloutStatus) -> CanaryRolloutStatus:
    """The status at rest with the routes that are on stable now, to be kept there."""
    before, routing = context.status, status.routing
    if status.phase not in AT_REST or before.phase in AT_REST or before.routing is None or routing is None:
        return status
    found = pins.pinned(context.objects[0], before.routing.routes)
    away = known_routes.away(before.routing.pinned, found)  # one that is given back at rest goes to stable, too
    kept = (*found, *(pin for pin in before.routing.pinned if pin in away))[:ROUTES_LIMIT]
    return status.model_copy(update={"routing": routing.model_copy(update={"pinned": kept, "others": None})})
