"""How far the mesh has come towards what the present phase wants of it: written, proved, cleaned up, and waited for since when."""

from canaryrollout.api.status import Phase
from canaryrollout.core.context import Context
from canaryrollout.core.snapshot import Expectation

CLEANUP_SECONDS = 60.0
"""So long what routes do not need any more is taken out of a DestinationRule again and again."""


def proved(context: Context, expectation: Expectation | None) -> bool:
    """Whether the proxies are proved to serve exactly that."""
    sync = context.snapshot.sync
    return expectation is not None and sync is not None and sync.expectation == expectation and sync.in_sync


def settled(context: Context) -> bool:
    """Whether nothing is left to write and the proxies acknowledged the routes (the clusters, before any route)."""
    plan = context.plan
    return plan is not None and plan.subsets is None and plan.routes is None and proved(context, plan.question)


def converged(context: Context) -> bool:
    """Settled, and what had to wait for the proof is cleaned up too, as far as others let it."""
    return settled(context) and context.plan is not None and (context.plan.cleanup is None or cleaned_in_vain(context))


def cleaned_in_vain(context: Context) -> bool:
    """Whether somebody puts back, or refuses, what is cleaned up since long ago: no route needs it any more, so it may stay."""
    if not settled(context) or context.plan is None or context.plan.cleanup is None:
        return False
    return context.snapshot.now - _settled_since(context) >= CLEANUP_SECONDS


def _settled_since(context: Context) -> float:
    """API time since which this phase has had its proof, as far as anybody looked; now while it has not been told yet."""
    status, now = context.status, context.snapshot.now
    told = {c.type: c.last_transition_time for c in status.conditions if c.status == "True"}
    began = status.rollout.phase_since if status.rollout is not None else told.get("Reconciling", now)
    return max(began, told.get("ProxiesSynced", now), context.snapshot.watched_since)


def waiting_since(context: Context) -> float:
    """API time from which the proxies are waited for, as far as anybody was there to ask them.

    Preparing may rest for long on a proof that it has (no endpoints yet, paused): there the wait starts when it is lost. So it
    does where there is no rollout: adopting, and undoing what the operator left at rest.
    """
    status, now = context.status, context.snapshot.now
    rollout, drift = status.rollout, status.drift
    held = drift.next_attempt if drift is not None and drift.next_attempt is not None else 0.0
    since = max(rollout.phase_since if rollout is not None else 0.0, context.snapshot.watched_since, held)
    proof = next((c for c in status.conditions if c.type == "ProxiesSynced"), None)
    if rollout is not None and (status.phase is not Phase.PREPARING or proof is None):
        return since
    if rollout is None and settled(context):
        return _settled_since(context)
    return now if proof is None or proof.status == "True" else max(since, proof.last_transition_time)
