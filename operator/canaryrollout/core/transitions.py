"""The effects of the transition table: each edits the status for the phase that begins, and nothing else."""

from canaryrollout.api.quantities import format_duration
from canaryrollout.api.status import CanaryRolloutStatus, HistoryEntry, Outcome, RolloutState, Routing, StepStatus
from canaryrollout.core import adoption, undoing
from canaryrollout.core import destination_rules as dr
from canaryrollout.core.context import Context
from canaryrollout.core.evidence import EvidenceState, begin_anew, begin_step, resume_step
from canaryrollout.core.guards import SHARED_FAILURE
from canaryrollout.core.plan import named
from canaryrollout.core.printable import shown
from canaryrollout.core.requested import REQUEST_LIMIT, RESUME, RETRY
from canaryrollout.core.snapshot import Problem
from canaryrollout.core.sync_wording import sync_explanation, sync_reason
from canaryrollout.core.verdict import Fail, Wait

HISTORY_LIMIT = 10


def _rollout(context: Context) -> RolloutState:
    if context.status.rollout is None:
        raise AssertionError(f"phase {context.status.phase} without a rollout")
    return context.status.rollout


def _because(context: Context, reason: str, explanation: str, **more: object) -> CanaryRolloutStatus:
    rollout = _rollout(context).model_copy(update={"reason": reason, "explanation": shown(explanation)[:2048]})
    return context.status.model_copy(update={"rollout": rollout, **more})


def handled(context: Context, resume: bool = False, retry: bool = False) -> dict[str, object]:
    """Requests that are carried out now, or were made before there was anything to ask for: none of them may act later."""
    found = context.snapshot.annotations
    asked = (("resume", RESUME, resume), ("retry", RETRY, retry))
    tokens = {name: found[key][:REQUEST_LIMIT] for name, key, now in asked if now and key in found}
    return {"handled": context.status.handled.model_copy(update=tokens)}


def adopting(context: Context) -> CanaryRolloutStatus:
    """Pin everything to the version found."""
    stable = context.stable_found
    routing = adoption.adopt(context.given, stable) if isinstance(stable, str) else stable
    if isinstance(routing, Problem) or isinstance(stable, Problem):
        raise AssertionError("adopting without a stable version")
    return context.status.model_copy(update={"stable_version": stable, "routing": routing, "weight": 0, "step": ""})


def adopted(context: Context) -> CanaryRolloutStatus:
    """One version serves everything, proved."""
    return context.status


def preparing(context: Context) -> CanaryRolloutStatus:
    """Begin a rollout: what is in the mesh now is what leaving restores."""
    status, now = context.status, context.snapshot.now
    routing = adoption.begin(context.given, status.routing, status.stable_version) if status.routing else None
    if not isinstance(routing, Routing):
        raise AssertionError("starting a rollout without routing")
    rollout = RolloutState(
        version=context.spec.version,
        stable=status.stable_version,
        started_at=now,
        phase_since=now,
        revert=context.spec.version == status.previous_version,
    )
    return status.model_copy(update={"routing": routing, "rollout": rollout, "weight": 0, "step": ""})


def next_step(context: Context) -> CanaryRolloutStatus:
    """Intend the next weight; evidence for passing starts anew."""
    status, rollout = context.status, _rollout(context)
    steps = context.spec.steps
    following = adoption.next_step(context.spec, status.weight)
    if rollout.revert or following is None:
        following = (len(steps) - 1, 100)
    index, weight = following
    evidence = begin_step(context.evidence or EvidenceState())
    step = StepStatus(index=index, weight=weight, started_at=context.snapshot.now)
    rollout = rollout.model_copy(update={"step": step, "evidence": evidence, "reason": "", "explanation": ""})
    return status.model_copy(update={"rollout": rollout, "weight": weight, "step": f"{index + 1}/{len(steps)}"})


def analysing(context: Context) -> CanaryRolloutStatus:
    """The weights are proved: the step's clock starts."""
    rollout = _rollout(context)
    step = rollout.step.model_copy(update={"synced_at": context.snapshot.now}) if rollout.step else None
    return context.status.model_copy(update={"rollout": rollout.model_copy(update={"step": step})})


def unproved_step(context: Context, **more: object) -> CanaryRolloutStatus:
    """Back to intending the step's weights: whatever was proved or observed of it counts no longer."""
    rollout = _rollout(context)
    unproved = {"started_at": context.snapshot.now, "synced_at": None, "observed_from": None, "observed_until": None}
    step = rollout.step.model_copy(update=unproved) if rollout.step else None
    # Before the first step nothing is staked: the canary has no weight, and its warmup has not begun.
    begun = rollout.step is not None and context.evidence is not None
    evidence = _gone_on(context, rollout) if begun else rollout.evidence
    rollout = rollout.model_copy(update={"step": step, "evidence": evidence, "reason": "", "explanation": ""})
    return context.status.model_copy(update={"rollout": rollout, **more})


def _gone_on(context: Context, rollout: RolloutState) -> EvidenceState:
    """The evidence to go on with. Who resumes after a failure that stable shared has judged it: it does not count a second time."""
    known = context.evidence or EvidenceState()
    return begin_anew(known, context.analysis.warmup) if rollout.reason == SHARED_FAILURE else resume_step(known)


def reasserting(context: Context) -> CanaryRolloutStatus:
    """Somebody else changed the weights: write and prove them again."""
    return unproved_step(context)


def resumed(context: Context) -> CanaryRolloutStatus:
    """Prove the step (before the first one: the clusters) again and watch it anew."""
    return unproved_step(context, **handled(context, resume=True), drift=None)


def paused_by_request(context: Context) -> CanaryRolloutStatus:
    """spec.paused."""
    return held(context, "PauseRequested", f"paused at {context.status.weight} % because spec.paused is set")


def paused_by_sync(context: Context) -> CanaryRolloutStatus:
    """Hold: a proxy did not acknowledge."""
    return held(context, "SyncTimedOut", sync_explanation(context))


def paused_by_inconclusive(context: Context) -> CanaryRolloutStatus:
    """Hold: no verdict in time."""
    return held(context, "Inconclusive", _inconclusive_explanation(context))


def paused_by_shared_failure(context: Context) -> CanaryRolloutStatus:
    """Hold: both versions fail alike. What is counted from now on decides whether the canary alone is at fault."""
    verdict = context.verdict
    said = verdict.explanation if isinstance(verdict, Fail) else ""
    paused = held(context, SHARED_FAILURE, f"paused at {context.status.weight} %: stable does no better than the canary: {said}")
    anew = begin_anew(context.evidence or EvidenceState(), context.analysis.warmup)
    return paused.model_copy(update={"rollout": paused.rollout.model_copy(update={"evidence": anew}) if paused.rollout else None})


def held(context: Context, reason: str, explanation: str) -> CanaryRolloutStatus:
    """The weights stay as they are until somebody resumes."""
    return _because(context, reason, explanation, **handled(context, resume=True))


def promoting(context: Context) -> CanaryRolloutStatus:
    """The canary is the version now; the trial's traces leave the mesh."""
    return context.status.model_copy(update={"weight": 100})


def promoted(context: Context) -> CanaryRolloutStatus:
    """The canary becomes stable."""
    status, rollout, routing = context.status, _rollout(context), context.status.routing
    if routing is None:
        raise AssertionError("promoted without routing")
    renewed = routing.model_copy(
        update={
            "stable_subset": routing.canary_subset,
            "added_stable_subset": routing.added_canary_subset,
            "retired_subset": routing.stable_subset if routing.added_stable_subset else "",
            "canary_subset": "",
            "added_canary_subset": False,
            "canary_policy_before": None,
            "routes": (),
        }
    )
    ended = _ended(context, "Promoted", f"version {rollout.version} serves all traffic")
    return status.model_copy(
        update={
            "stable_version": rollout.version,
            # What was reverted may have been bad: it comes back only by a rollout with analysis.
            "previous_version": "" if rollout.revert else rollout.stable,
            "routing": renewed,
            "rollout": None,
            "weight": 0,
            "step": "",
            "history": ended,
        }
    )


def breached(context: Context) -> CanaryRolloutStatus:
    """Undo: the evidence is against the canary."""
    verdict = context.verdict
    if not isinstance(verdict, Fail):
        raise AssertionError("breached without a failing verdict")
    shared = "; stable does no better" if verdict.shared else ""
    return back(context, failure_reason(verdict), f"rolled back at {context.status.weight} %: {verdict.explanation}{shared}")


def failure_reason(verdict: Fail) -> str:
    """The reason of a condition for a failing metric."""
    return {"errors": "ErrorRate", "latency": "Latency"}.get(verdict.metric, "CustomMetric")


def canary_crashing(context: Context) -> CanaryRolloutStatus:
    """Undo: pods of the canary end again and again."""
    version, crashing = _rollout(context).version, "; ".join(context.canary.crashing)
    return back(context, "CanaryCrashing", f"rolled back at {context.status.weight} %: pods of version {version} are crashing ({crashing})")


def canary_gone(context: Context) -> CanaryRolloutStatus:
    """Undo: nobody is left to answer."""
    version = _rollout(context).version
    failing = f" ({'; '.join(context.canary.failing)})" if context.canary.failing else ""
    message = f"rolled back at {context.status.weight} %: version {version} has no ready endpoint any more{failing}"
    return back(context, "CanaryWithoutEndpoints", message)


def sync_timed_out(context: Context) -> CanaryRolloutStatus:
    """Undo: a proxy did not acknowledge."""
    return back(context, sync_reason(context), f"rolled back at {context.status.weight} %: {sync_explanation(context)}")


def inconclusive(context: Context) -> CanaryRolloutStatus:
    """Undo: no verdict in time."""
    return back(context, "Inconclusive", f"rolled back at {context.status.weight} %: {_inconclusive_explanation(context)}")


def superseded(context: Context) -> CanaryRolloutStatus:
    """Undo: another version is desired."""
    rollout, wanted = _rollout(context), context.spec.version
    reason = "Reverted" if wanted == rollout.stable else "Superseded"
    return back(context, reason, f"version {wanted} is desired instead of {rollout.version}: all traffic returns to {rollout.stable} first")


def restoring(context: Context) -> CanaryRolloutStatus:
    """Deleted in mid-rollout."""
    if context.spec.deletion_policy == "Keep":
        return _because(context, "Deleted", "deleted: the weights are left as they are (deletionPolicy Keep)")
    return back(context, "Deleted", f"deleted: all traffic returns to {_rollout(context).stable}")


def undoing_traces(context: Context) -> CanaryRolloutStatus:
    """Deleted at rest: what the operator narrowed and added goes with the object."""
    status, routing = context.status, context.status.routing
    if routing is None:
        raise AssertionError("undoing without routing")
    service = named(context.snapshot.mesh.virtual_services, routing.virtual_service)
    plain = undoing.at_rest(routing, service, context.host)
    return status.model_copy(update={"routing": plain, "rollout": None, "weight": 0, "step": ""})


def back(context: Context, reason: str, explanation: str) -> CanaryRolloutStatus:
    """All traffic returns to stable."""
    return _because(context, reason, explanation, weight=0, **handled(context, retry=True))


def rolled_back(context: Context) -> CanaryRolloutStatus:
    """Stable serves everything again, proved; stays so."""
    rollout = _rollout(context)
    history = _ended(context, "RolledBack", rollout.explanation)
    ended = rollout.model_copy(update={"ended_at": context.snapshot.now})
    return context.status.model_copy(update={"history": history, "rollout": ended, "routing": _at_rest(context)})


def back_to_stable(context: Context) -> CanaryRolloutStatus:
    """Stable serves everything again; whatever is desired now may start."""
    rollout = _rollout(context)
    outcome: Outcome = "Reverted" if context.spec.version == rollout.stable else "Superseded"
    history = _ended(context, outcome, rollout.explanation)
    return context.status.model_copy(update={"history": history, "rollout": None, "step": "", "routing": _at_rest(context)})


def _at_rest(context: Context) -> Routing | None:
    """The routing without the canary that has left, perhaps with the subset of the version before: one that comes up later is not ours."""
    routing = context.status.routing
    if routing is None:
        return None
    there = dr.has_subset(context.objects[1], routing.retired_subset)
    left = {"canary_subset": "", "added_canary_subset": False, "canary_policy_before": None, "routes": ()}
    return routing.model_copy(update={**left, "retired_subset": routing.retired_subset if there else ""})


def released(context: Context) -> CanaryRolloutStatus:
    """Another version than the one that failed is desired."""
    return context.status.model_copy(update={"rollout": None, "step": ""})


def retried(context: Context) -> CanaryRolloutStatus:
    """The version that failed gets another trial."""
    return context.status.model_copy(update={"rollout": None, "step": "", **handled(context, retry=True)})


def _ended(context: Context, outcome: Outcome, message: str) -> tuple[HistoryEntry, ...]:
    rollout = _rollout(context)
    entry = HistoryEntry(
        version=rollout.version,
        stable=rollout.stable,
        outcome=outcome,
        reason=rollout.reason,
        message=message[:2048],
        weight=rollout.step.weight if rollout.step else 0,
        started_at=rollout.started_at,
        ended_at=context.snapshot.now,
    )
    return (entry, *context.status.history)[:HISTORY_LIMIT]


def _inconclusive_explanation(context: Context) -> str:
    verdict = context.verdict
    waited = format_duration(context.analysis.max_duration)
    return f"no verdict within {waited}: {verdict.message if isinstance(verdict, Wait) else verdict.explanation}"
