"""Conditions: what machines and people read. Ready, Reconciling and Stalled follow kstatus; Stalled and Reconciling are never
both True. ProxiesSynced and Analysis say what the rollout rests on.
"""

from collections.abc import Callable, Mapping

from canaryrollout.api.status import CanaryRolloutStatus, Condition, Phase, ProxySummary
from canaryrollout.core import adoption
from canaryrollout.core.context import Context
from canaryrollout.core.drift_wording import DRIFT_CONFLICT, DRIFTED, TAKEN_OVER, strayed
from canaryrollout.core.events import TRACES_GO
from canaryrollout.core.guards import start_problem
from canaryrollout.core.phases import COUNTED
from canaryrollout.core.printable import shown
from canaryrollout.core.proof import settled
from canaryrollout.core.snapshot import Problem
from canaryrollout.core.sync_wording import envoys_read, lagging_summary
from canaryrollout.core.transitions import failure_reason
from canaryrollout.core.verdict import Fail, Pass, Verdict

State = tuple[str, str, str]
"""Status, reason, message."""

LAGGING_NAMED = 10


def conclude(context: Context, verdict: Verdict) -> CanaryRolloutStatus:
    """The status with conditions, message and the proxies' summary brought up to date."""
    status = context.status
    problem = _problem(context)
    ready, reconciling, stalled = _progress(context, problem)
    states = {"Ready": ready, "Reconciling": reconciling, "Stalled": stalled}
    sync = _sync(context)
    if sync is not None:
        states["ProxiesSynced"] = sync
    if status.rollout is not None and status.phase in COUNTED and (context.snapshot.poll is not None or isinstance(verdict, Fail)):
        states["Analysis"] = _analysis(verdict)
    merged = _merge(status, states, context.snapshot.generation, context.snapshot.now)
    if status.rollout is None and status.phase in (Phase.STABLE, Phase.PENDING):
        merged.pop("Analysis", None)
    return status.model_copy(
        update={
            "observed_generation": context.snapshot.generation,
            "message": shown(ready[2])[:4096],
            "conditions": tuple(merged.values()),
            **_proxies(context),
        }
    )


def refuse(status: CanaryRolloutStatus, problem: Problem, generation: int, now: float) -> CanaryRolloutStatus:
    """The status of an object whose spec cannot be read: it says why, everything else stands as it is."""
    ready, reconciling, stalled = _stalled(problem.reason, problem.message)
    merged = _merge(status, {"Ready": ready, "Reconciling": reconciling, "Stalled": stalled}, generation, now)
    return status.model_copy(
        update={"conditions": tuple(merged.values()), "message": shown(problem.message)[:4096], "observed_generation": generation}
    )


def _merge(status: CanaryRolloutStatus, states: Mapping[str, State], generation: int, now: float) -> dict[str, Condition]:
    """The conditions with new states; the transition time moves only when a status changes."""
    merged = {condition.type: condition for condition in status.conditions}
    for name, (value, reason, said) in states.items():
        message = shown(said)[:4096]
        old = merged.get(name)
        if old is not None and (old.status, old.reason, old.message, old.observed_generation) == (value, reason, message, generation):
            continue
        since = old.last_transition_time if old is not None and old.status == value else now
        merged[name] = Condition.model_validate(
            {
                "type": name,
                "status": value,
                "reason": reason,
                "message": message,
                "last_transition_time": since,
                "observed_generation": generation,
            }
        )
    return merged


def _problem(context: Context) -> Problem | None:
    """What keeps a resting object from going on."""
    status = context.status
    if status.phase is Phase.PENDING:
        return _adoption_problem(context)
    if status.phase is Phase.STABLE and context.spec.version != status.stable_version:
        return start_problem(context) or _begin_problem(context)
    return context.problem


def _adoption_problem(context: Context) -> Problem | None:
    if context.problem is not None:
        return context.problem
    if isinstance(context.stable_found, Problem):
        return context.stable_found
    routing = adoption.adopt(context.given, context.stable_found)
    return routing if isinstance(routing, Problem) else None


def _begin_problem(context: Context) -> Problem | None:
    status = context.status
    routing = adoption.begin(context.given, status.routing, status.stable_version) if status.routing else None
    return routing if isinstance(routing, Problem) else None


def _progress(context: Context, problem: Problem | None) -> tuple[State, State, State]:
    status = context.status
    rollout = status.rollout
    if status.phase is Phase.ROLLED_BACK and rollout is not None:
        return _stalled(rollout.reason or "RolledBack", rollout.explanation)
    if status.phase is Phase.PAUSED and rollout is not None and rollout.reason == DRIFT_CONFLICT:
        return _stalled(DRIFT_CONFLICT, rollout.explanation)
    if status.phase in (Phase.PENDING, Phase.STABLE) and problem is not None:
        return _stalled(problem.reason, problem.message)
    drifted = status.drift if status.phase is Phase.STABLE and status.drift is not None and status.drift.changed else None
    if status.phase is Phase.STABLE and context.spec.version == status.stable_version and drifted is None:
        message = f"version {status.stable_version} serves all traffic"
        return ("True", "Stable", message), ("False", "Stable", message), ("False", "Stable", "")
    if status.phase is Phase.PAUSED and rollout is not None and rollout.reason == TAKEN_OVER:
        return ("False", TAKEN_OVER, rollout.explanation), ("True", TAKEN_OVER, rollout.explanation), ("False", "Progressing", "")
    if drifted is not None:
        reason, message = DRIFTED, strayed(drifted, status.stable_version, _put_right(context))
    else:
        message = _activity(context, problem)
        reason = problem.reason if problem is not None else status.phase.value
    return ("False", reason, message), ("True", reason, message), ("False", "Progressing", "")


def _put_right(context: Context) -> str:
    """When routes that go elsewhere at rest are written again (core.drift_rules.drifted_at_rest)."""
    if context.snapshot.problems:
        return f"when this is mended: {context.snapshot.problems[0].message}"
    if context.stable.ready == 0:
        return f"when version {context.status.stable_version} has a ready endpoint of Service {context.spec.service!r} again"
    return "within seconds"


def _stalled(reason: str, message: str) -> tuple[State, State, State]:
    return ("False", reason, message), ("False", reason, ""), ("True", reason, message)


def _activity(context: Context, problem: Problem | None) -> str:
    """What the rollout is doing, or waiting for, in one sentence."""
    held = f"; held by: {problem.message}" if problem is not None else ""
    return _ACTIVITIES.get(context.status.phase, _explained)(context) + held


def _explained(context: Context) -> str:
    return context.status.rollout.explanation if context.status.rollout else ""


def _version(context: Context) -> str:
    return context.status.rollout.version if context.status.rollout else context.spec.version


def _before_the_rollout(context: Context) -> str:
    return f"version {_version(context)} is about to be rolled out" if not context.spec.paused else "paused before the rollout"


def _preparing(context: Context) -> str:
    if not settled(context):
        return lagging_summary(context)
    return "the proxies know it; " + (_latest(context) if context.evidence is None else "waiting for its endpoints")


def _latest(context: Context) -> str:
    """The verdict of the last poll: passes in between know nothing new."""
    if context.snapshot.poll is not None:
        return _explain(context.verdict)
    return next((c.message for c in context.status.conditions if c.type == "Analysis"), "nothing has been counted yet")


_ACTIVITIES: Mapping[Phase, Callable[[Context], str]] = {
    Phase.PENDING: lambda _: "about to adopt the serving version",
    Phase.ADOPTING: lambda context: f"pinning all traffic to version {context.status.stable_version}: {lagging_summary(context)}",
    Phase.STABLE: _before_the_rollout,
    Phase.PREPARING: lambda context: f"preparing version {_version(context)}: {_preparing(context)}",
    Phase.SHIFTING: lambda context: f"step {context.status.step}: {context.status.weight} % intended; {lagging_summary(context)}",
    Phase.ANALYSING: lambda context: (
        f"step {context.status.step}: {context.status.weight} % acknowledged by all proxies; {_latest(context)}"
    ),
    Phase.PROMOTING: lambda context: f"promoting version {_version(context)}: {lagging_summary(context)}",
    Phase.ROLLING_BACK: lambda context: f"{_explained(context)}; {lagging_summary(context)}",
    Phase.RESTORING: lambda context: f"{_explained(context) or TRACES_GO}; {lagging_summary(context)}",
}


def _explain(verdict: Verdict) -> str:
    return verdict.explanation if isinstance(verdict, Pass | Fail) else verdict.message


def _sync(context: Context) -> State | None:
    """The last proof; None where this pass asked for none (the condition then stands as it is)."""
    sync, plan = context.snapshot.sync, context.plan
    if plan is not None and plan.pending:
        return "False", "WritePending", lagging_summary(context)
    stopped = context.status.drift is not None and context.status.drift.stopped
    if sync is None or (plan is None and (stopped or not sync.in_sync)):
        return None
    if sync.problem is not None:
        return "Unknown", sync.problem.reason, sync.problem.message
    if sync.in_sync and (plan is None or settled(context)):  # without a plan: the proof with which the phase has come to rest
        told = f"{len(sync.proxies)} of {len(sync.proxies)} proxies acknowledged the configuration"
        return ("True", "Acknowledged", told) if sync.envoys is None else ("True", "Verified", f"{told}; {envoys_read(sync.envoys)}")
    reason = next((f"Proxy{proxy.state.value}" for proxy in sync.lagging), "NotGenerated")
    return "False", reason, lagging_summary(context)


def _proxies(context: Context) -> dict[str, object]:
    sync = context.snapshot.sync
    if sync is None or sync.problem is not None:
        return {}
    lagging = tuple(f"{p.proxy}: {p.state.value}{' ' + p.detail if p.detail else ''}"[:512] for p in sync.lagging[:LAGGING_NAMED])
    read = sync.envoys.total if sync.envoys is not None and sync.in_sync else 0
    summary = ProxySummary(total=len(sync.proxies), synced=len(sync.proxies) - len(sync.lagging), envoys_read=read, lagging=lagging)
    known = set(context.status.relevant_workloads) | set(sync.workloads)
    return {"proxies": summary, "relevant_workloads": tuple(sorted(known))[:1000]}


def _analysis(verdict: Verdict) -> State:
    if isinstance(verdict, Pass):
        return "True", "Passed", verdict.explanation
    if isinstance(verdict, Fail):
        return "False", failure_reason(verdict), verdict.explanation
    return "Unknown", verdict.reason, verdict.message
