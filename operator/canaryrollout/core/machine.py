"""The rollout machine. Everything that moves a rollout from phase to phase is in TABLE; nothing else does.

Theory of operation. One pass sees one snapshot. First what was seen is folded into the status (the poll's slices into the evidence),
then the rules of the present phase are tried in order, and the first whose guard holds gives the next phase and edits the status. The mesh
follows from the status (core.plan), never from the transition: a pass that crashed after the status was stored is
repeated by the next one, which finds the same intent and the same open moves. At most one rule fires per pass, so that
every proof and every verdict belongs to the phase in which it was asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.core import conditions, drift_rules, moves
from canaryrollout.core import guards as when
from canaryrollout.core import transitions as to
from canaryrollout.core.context import Context
from canaryrollout.core.decision import Decision, MeshWrite
from canaryrollout.core.events import drift_events, forecast_events, transition_events
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.notices import noted
from canaryrollout.core.observation import count, limits, track
from canaryrollout.core.phases import AT_REST
from canaryrollout.core.snapshot import Raw, Snapshot
from canaryrollout.core.standing import substituted


@dataclass(frozen=True, slots=True)
class Rule:
    """When `guard` holds, `event` has happened: go to `phase` and let `effect` edit the status."""

    event: str
    guard: Callable[[Context], bool]
    phase: Phase
    effect: Callable[[Context], CanaryRolloutStatus]
    always: bool = False
    """Tried even while people have taken the routing over."""


_DELETED = Rule("Deleted", when.deleted, Phase.RESTORING, to.restoring, always=True)
_DELETED_AT_REST = Rule("Deleted", when.deleted_at_rest, Phase.RESTORING, to.undoing_traces)
_SUPERSEDED = Rule("VersionChanged", when.version_changed, Phase.ROLLING_BACK, to.superseded)
_CANARY_GONE = Rule("CanaryWithoutEndpoints", when.canary_gone, Phase.ROLLING_BACK, to.canary_gone)
_CRASHING = Rule("CanaryCrashing", when.canary_crashing, Phase.ROLLING_BACK, to.canary_crashing)
_BREACH = Rule("LimitBreached", when.breached, Phase.ROLLING_BACK, to.breached)
_SYNC_ROLLBACK = Rule("SyncTimedOut", when.sync_timed_out_rollback, Phase.ROLLING_BACK, to.sync_timed_out)
_SYNC_PAUSE = Rule("SyncTimedOut", when.sync_timed_out_pause, Phase.PAUSED, to.paused_by_sync)
_SHARED = Rule("SharedFailure", when.shared_failure, Phase.PAUSED, to.paused_by_shared_failure)
_TAKEN_OVER = Rule("TakenOver", drift_rules.taken_over, Phase.PAUSED, drift_rules.held_by_people, always=True)
_CONFLICT = (
    Rule("DriftConflict", drift_rules.harmful_conflict, Phase.ROLLING_BACK, drift_rules.rolled_back_by_conflict),
    Rule("DriftConflict", drift_rules.conflict, Phase.PAUSED, drift_rules.paused_by_conflict),
)
_DRIFTED_AT_REST = (
    Rule("Resumed", drift_rules.resumed_at_rest, Phase.ADOPTING, drift_rules.retrying_at_rest),
    Rule("DriftConflict", drift_rules.conflict_at_rest, Phase.STABLE, drift_rules.stopped_at_rest),
    Rule("Drifted", drift_rules.drifted_at_rest, Phase.ADOPTING, drift_rules.readopting),
)
_ARMED = (_DELETED, _SUPERSEDED, _CANARY_GONE, _CRASHING, _BREACH)
"""Rollback is armed in every phase that gives the canary traffic (invariant 4)."""

TABLE: Mapping[Phase, tuple[Rule, ...]] = MappingProxyType(
    {
        Phase.PENDING: (Rule("Adoptable", when.adoptable, Phase.ADOPTING, to.adopting),),
        Phase.ADOPTING: (
            _DELETED_AT_REST,
            Rule("Converged", when.converged_after_rollback, Phase.ROLLED_BACK, to.adopted),
            Rule("Converged", when.converged, Phase.STABLE, to.adopted),
            Rule("DriftConflict", drift_rules.conflict_at_rest, Phase.STABLE, drift_rules.stopped_at_rest),
        ),
        Phase.STABLE: (
            _DELETED_AT_REST,
            *_DRIFTED_AT_REST,
            Rule("VersionChanged", when.startable, Phase.PREPARING, to.preparing),
        ),
        Phase.PREPARING: (
            _DELETED,
            _SUPERSEDED,
            _TAKEN_OVER,
            *_CONFLICT,
            Rule("ClustersProved", when.ready_to_shift, Phase.SHIFTING, to.next_step),
            _SYNC_ROLLBACK,
            _SYNC_PAUSE,
        ),
        Phase.SHIFTING: (
            *_ARMED,
            _SHARED,
            _TAKEN_OVER,
            *_CONFLICT,
            Rule("RoutesProved", when.reverted, Phase.PROMOTING, to.promoting),
            Rule("RoutesProved", when.settled, Phase.ANALYSING, to.analysing),
            _SYNC_ROLLBACK,
            _SYNC_PAUSE,
        ),
        Phase.ANALYSING: (
            *_ARMED,
            _SHARED,
            _TAKEN_OVER,
            *_CONFLICT,
            Rule("Drifted", when.drifted, Phase.SHIFTING, to.reasserting),
            Rule("PauseRequested", when.pause_requested, Phase.PAUSED, to.paused_by_request),
            Rule("Passed", when.passed_last, Phase.PROMOTING, to.promoting),
            Rule("Passed", when.passed, Phase.SHIFTING, to.next_step),
            Rule("Inconclusive", when.inconclusive_pause, Phase.PAUSED, to.paused_by_inconclusive),
            Rule("Inconclusive", when.inconclusive_rollback, Phase.ROLLING_BACK, to.inconclusive),
            Rule("Inconclusive", when.inconclusive_promote_last, Phase.PROMOTING, to.promoting),
            Rule("Inconclusive", when.inconclusive_promote, Phase.SHIFTING, to.next_step),
        ),
        Phase.PAUSED: (
            *_ARMED,
            _SHARED,
            Rule("TakenOver", drift_rules.taken_over_in_pause, Phase.PAUSED, drift_rules.held_by_people, always=True),
            Rule("Resumed", when.resumed_before_shifting, Phase.PREPARING, to.resumed, always=True),
            Rule("Resumed", when.resumed, Phase.SHIFTING, to.resumed, always=True),
            Rule("PauseRequested", drift_rules.given_back_in_pause, Phase.PAUSED, drift_rules.paused_after_takeover),
            *_CONFLICT,
        ),
        Phase.PROMOTING: (*_ARMED, _SHARED, _TAKEN_OVER, *_CONFLICT, Rule("Converged", when.converged, Phase.STABLE, to.promoted)),
        Phase.ROLLING_BACK: (
            _DELETED,
            Rule("Converged", when.rolled_back_for_good, Phase.ROLLED_BACK, to.rolled_back),
            Rule("Converged", when.converged, Phase.STABLE, to.back_to_stable),
        ),
        Phase.ROLLED_BACK: (
            _DELETED_AT_REST,
            Rule("VersionChanged", when.version_changed, Phase.STABLE, to.released),
            Rule("RetryRequested", when.retry_requested, Phase.STABLE, to.retried),
            Rule("Drifted", drift_rules.drifted_at_rest, Phase.ADOPTING, drift_rules.readopting),
        ),
        Phase.RESTORING: (),
    }
)


def decide(spec: CanaryRolloutSpec, status: CanaryRolloutStatus, snapshot: Snapshot, settings: "MachineSettings") -> Decision:
    """One pass: the status to store, the effects that follow from it, and when to look again. Total and pure."""
    host = ServiceHost(spec.service, snapshot.namespace, settings.cluster_domain)
    seen = track(spec, count(spec, status, snapshot, settings.settle), host, snapshot.mesh)
    before = Context(spec, seen, snapshot, settings.cluster_domain, limits=limits(spec, seen, snapshot))
    noticed = drift_rules.watched(before, settings.takeover_managers)
    before = before if noticed is before.status else before.at(noticed)
    tried = (rule for rule in TABLE[status.phase] if rule.always or not before.taken_over)
    rule = next((rule for rule in tried if rule.guard(before)), None)
    after = before
    if rule is not None:
        moved = _moved(before, rule)
        after = Context(spec, moved, snapshot, settings.cluster_domain, limits=limits(spec, moved, snapshot))
        after = after.at(drift_rules.aimed(after))
    final = noted(conditions.conclude(after, verdict=before.verdict), after.findings)
    left = moves.left_over(before) if rule is not None and after.status.phase in AT_REST else ()
    actions = (
        *moves.actions(after),
        *left,
        *forecast_events(status, final),
        *transition_events(status, final),
        *drift_events(status, final),
    )
    return Decision(final, actions, moves.requeue_after(after, settings, moved=rule is not None))


def decide_again(
    spec: CanaryRolloutSpec, status: CanaryRolloutStatus, snapshot: Snapshot, settings: "MachineSettings", item: Raw
) -> MeshWrite | None:
    """The mesh write that a stored status asks for where one Istio object is not as in the snapshot any more. Pure.

    Nothing is decided but how to get there: the intent, the proofs and the pods are those of the pass.
    """
    seen = replace(snapshot, mesh=substituted(snapshot.mesh, item))
    return moves.next_write(Context(spec, status, seen, settings.cluster_domain, limits=limits(spec, status, seen)))


def _moved(context: Context, rule: Rule) -> CanaryRolloutStatus:
    """The status after a rule has fired."""
    status = rule.effect(context)
    rollout = status.rollout
    if rollout is not None:
        rollout = rollout.model_copy(update={"phase_since": context.snapshot.now})
    return drift_rules.rested(context, status.model_copy(update={"phase": rule.phase, "rollout": rollout}))


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """Operator-wide constants of the machine, in seconds."""

    cluster_domain: str = "cluster.local"
    takeover_managers: tuple[str, ...] = ()
    """Field managers whose changes of weights and subsets mean that people have taken the routing over."""
    poll_interval: float = 5.0
    """Between two polls of the metrics provider."""
    sync_interval: float = 0.25
    """Between two questions to the control plane while a proof is awaited."""
    settle: float = 5.0
    """One scrape interval: requests before proof + settle may belong to the old weights and cannot help to pass."""
    visible_after: float = 0.6
    """How long after its end a slice can be counted: a little more than the provider's ingestion delay."""
    retry_interval: float = 15.0
    """Between two looks at something that only people can mend."""
