"""The effects that follow from a status: at most one mesh write per pass, the finalizer around it, and the next look."""

from typing import TYPE_CHECKING

from canaryrollout.api.status import Phase
from canaryrollout.core import drift, ownership
from canaryrollout.core.context import Context
from canaryrollout.core.decision import Action, EmitEvent, MeshWrite, PatchObject, SetFinalizer
from canaryrollout.core.events import left_behind, not_cleaned_up
from canaryrollout.core.phases import AT_REST, COUNTED, OFF_BASELINE, PROVING
from canaryrollout.core.plan import named
from canaryrollout.core.proof import cleaned_in_vain, converged, proved, waiting_since

if TYPE_CHECKING:
    from canaryrollout.core.machine import MachineSettings

AT_ONCE = 0.0
RETRY_AT_REST_SECONDS = 15.0
EAGER_SECONDS = 10.0
"""How long a proof is asked for at sync_interval; then at a tenth of the wait, so that a stuck proxy costs little."""


def actions(context: Context) -> tuple[Action, ...]:
    """What to do now, in order: hold the finalizer before the mesh is touched, release it when nothing is left to restore."""
    if restored(context):
        return (*left_over(context), *_releases(context), SetFinalizer(held=False)) if context.snapshot.finalizer_held else ()
    deleting, owed = context.snapshot.deleting, context.owes
    off_baseline = context.status.phase in OFF_BASELINE or (owed and (not deleting or context.undoable))
    held = context.snapshot.finalizer_held
    before: tuple[Action, ...] = (SetFinalizer(held=True),) if off_baseline and not held and not context.snapshot.deleting else ()
    write = next_write(context)
    after: tuple[Action, ...] = (SetFinalizer(held=False),) if held and not off_baseline else ()
    if after and deleting and owed:
        after = (left_behind(context.status), *after)
    return (*before, *((write,) if write else ()), *after)


def left_over(context: Context) -> tuple[EmitEvent, ...]:
    """What to tell where a phase ends although something could not be cleaned up."""
    routing = context.status.routing
    return (not_cleaned_up(routing),) if cleaned_in_vain(context) and routing is not None else ()


def restored(context: Context) -> bool:
    """Whether a deleted object has nothing left to restore."""
    if context.status.phase is not Phase.RESTORING:
        return False
    if context.taken_over:  # whoever has the routing keeps it
        return True
    if context.spec.deletion_policy == "Keep" or converged(context) or _nothing_to_restore(context):
        return True
    return context.status.rollout is None and not context.widening  # another version has come up: what is written stays


def _nothing_to_restore(context: Context) -> bool:
    """Whether what carried the traffic is gone too, as when a whole namespace is deleted: no proxy will ever prove anything."""
    plan, routing = context.plan, context.status.routing
    if routing is None:
        return True
    if plan is None:
        return False
    if named(context.snapshot.mesh.virtual_services, routing.virtual_service) is None:
        return True
    return context.snapshot.service is None and plan.subsets is None and plan.routes is None


def next_write(context: Context) -> MeshWrite | None:
    """The next mesh write that is both needed and allowed."""
    plan, now = context.plan, context.snapshot.now
    if context.taken_over or context.given_way:
        return None
    if plan is None:
        return next(iter(_releases(context)), None) if context.status.phase in AT_REST else None
    if plan.subsets is not None:
        return None if drift.waiting(context.status.drift, "DestinationRule", now) else plan.subsets
    if plan.routes is not None:
        if drift.waiting(context.status.drift, "VirtualService", now) or not context.safe:
            return None
        return plan.routes if not plan.clusters_first or proved(context, plan.clusters) else None
    return plan.cleanup if plan.cleanup is not None and proved(context, plan.splits) else None


def _releases(context: Context) -> tuple[PatchObject, ...]:
    """Give up the ownership of fields that the work is done with: GitOps tools would take later changes of them for ours."""
    routing, mesh = context.status.routing, context.snapshot.mesh
    if routing is None:
        return ()
    service, rule = named(mesh.virtual_services, routing.virtual_service), named(mesh.destination_rules, routing.destination_rule)
    released = (
        PatchObject("VirtualService", routing.virtual_service, tuple(ownership.release(service)), needed=False),
        PatchObject("DestinationRule", routing.destination_rule, tuple(ownership.release(rule)), needed=False),
    )
    return tuple(patch for patch in released if patch.operations)


def requeue_after(context: Context, settings: "MachineSettings", *, moved: bool) -> float | None:
    """Seconds until the next pass; None where only a change of the world can bring anything new."""
    status = context.status
    if restored(context):
        return None
    if moved:
        return AT_ONCE
    # Not at once after a write: one that the API server or a webhook undoes would be repeated without a pause.
    held = _held_for(context)
    waits = [held] if held is not None else []
    if drift.flapping(status.drift, context.snapshot.now) and not drift.lasting(status.drift, context.snapshot.now):
        waits.append(drift.HARM_SECONDS)
    if held is None and (status.phase in PROVING or context.question is not None) and not converged(context):
        waits.append(_proof_wait(context, settings))
    if status.phase in COUNTED:
        due = context.snapshot.poll_due
        waits.append(settings.poll_interval if due is None else min(due, settings.poll_interval))
    if (status.phase in (Phase.PENDING, Phase.STABLE) and _stuck(context)) or (context.snapshot.deleting and context.undoable):
        waits.append(settings.retry_interval)
    return min(waits) if waits else None


def _proof_wait(context: Context, settings: "MachineSettings") -> float:
    """Often at first, then more and more slowly."""
    waited = context.snapshot.now - waiting_since(context)
    return settings.sync_interval if waited < EAGER_SECONDS else min(waited / 10.0, settings.poll_interval)


def _held_for(context: Context) -> float | None:
    """Seconds until what somebody changed is written again; None where nothing waits for that."""
    state = context.status.drift
    if state is None or state.next_attempt is None or state.stopped or context.taken_over or context.given_way:
        return None
    wait = state.next_attempt - context.snapshot.now
    if context.status.phase in AT_REST and wait <= 0:
        return RETRY_AT_REST_SECONDS  # something else is in the way
    return wait if wait > 0 else None


def _stuck(context: Context) -> bool:
    return context.status.phase is Phase.PENDING or context.spec.version != context.status.stable_version
