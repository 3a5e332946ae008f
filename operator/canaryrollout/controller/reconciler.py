"""One pass over one CanaryRollout: observe, decide, store the intent, then touch the world."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.controller.conflicts import store_fenced
from canaryrollout.controller.effects import Effects
from canaryrollout.controller.observe import Observer
from canaryrollout.controller.subject import Object, Subject, parse
from canaryrollout.core.conditions import refuse
from canaryrollout.core.decision import CreateObject, Decision, EmitEvent, PatchObject
from canaryrollout.core.drift import noticed
from canaryrollout.core.drift_wording import DRIFT_CONFLICT, TAKEN_OVER
from canaryrollout.core.machine import MachineSettings, decide, decide_again
from canaryrollout.core.observation import limits
from canaryrollout.core.snapshot import WRITE_REFUSED, Problem, Snapshot
from canaryrollout.core.verdict import against
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import ApiError, Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from canaryrollout.kube.resources import CANARYROLLOUTS
from canaryrollout.telemetry import Metrics, RolloutView

CONFLICT_RETRY_SECONDS = 0.05
"""Somebody else wrote in between: read again soon."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """A CanaryRollout."""

    namespace: str
    name: str


class Reconciler:
    """Level-based: every pass starts from what is, never from what happened."""

    def __init__(self, kube: KubeClient, observer: Observer, effects: Effects, settings: MachineSettings, metrics: Metrics) -> None:
        self._kube = kube
        self._observer = observer
        self._effects = effects
        self._settings = settings
        self._metrics = metrics

    async def reconcile(self, key: Key) -> float | None:
        """Seconds until the next pass is wanted, None: when something changes. Raises ApiError: repeat with back-off."""
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(namespace=key.namespace, rollout=key.name)
        started = time.monotonic()
        self._metrics.reconciles.inc()
        try:
            return await self._pass(key)
        except (Conflict, PreconditionFailed, NotFound) as error:
            log.info("changed by somebody else in this pass", error=str(error))
            return CONFLICT_RETRY_SECONDS
        except ApiError:
            self._metrics.reconcile_errors.inc()
            raise
        finally:
            self._metrics.reconcile_time.observe(time.monotonic() - started)

    async def _pass(self, key: Key) -> float | None:
        raw = await self._kube.get(CANARYROLLOUTS, key.namespace, key.name)
        if raw is None:
            self._metrics.forget(key.namespace, key.name)
            self._observer.forget(key.namespace, key.name)
            return None
        subject = parse(raw)
        if subject.spec is None:
            return await self._refuse(subject)
        snapshot = await self._observer.snapshot(subject, subject.spec)
        decision = decide(subject.spec, subject.status, snapshot, self._settings)
        stored = await self._stored(key, subject, decision.status)
        self._tell(key, subject.spec, subject.status, decision, snapshot)
        # What the pass before wrote is in the status now. A write that fails leaves nothing that somebody else could have changed.
        self._observer.landed(key.namespace, key.name, frozenset())
        try:
            replan = partial(decide_again, subject.spec, decision.status, snapshot, self._settings)
            await self._effects.run(stored, (*_unread(subject), *decision.actions), replan)
        except (Forbidden, Invalid) as error:
            self._observer.refused(key.namespace, key.name, _refusal(error))
            raise
        written = frozenset(action.kind for action in decision.actions if isinstance(action, CreateObject | PatchObject))
        self._observer.landed(key.namespace, key.name, written)
        return decision.requeue_after

    async def _stored(self, key: Key, subject: Subject, status: CanaryRolloutStatus) -> Object:
        """A status that the API server refuses is a problem that people have to see, too."""
        try:
            return await self._store(subject, status)
        except (Forbidden, Invalid) as error:
            self._observer.refused(key.namespace, key.name, _refusal(error))
            raise

    async def _store(self, subject: Subject, status: CanaryRolloutStatus) -> Object:
        """Persist the status if it says anything new; Conflict fences a stale writer, and a decision on what is no longer so."""
        body = dump(status)
        if subject.lost is None and body == dump(subject.status) and subject.raw.get("status", {}).get("conditions"):
            return subject.raw
        return await store_fenced(self._kube, subject.raw, body)

    async def _refuse(self, subject: Subject) -> float | None:
        """A spec or status that cannot be read: say so, hold everything as it is."""
        problem = subject.problem
        if problem is None:
            return None
        log.error("refused", reason=problem.reason, message=problem.message)
        if problem.reason == "UnreadableStatus":
            return self._settings.retry_interval
        generation = subject.raw["metadata"].get("generation", 0)
        status = refuse(subject.status, problem, generation, self._kube.server_time())
        await self._store(subject, status)
        return None

    def _tell(self, key: Key, spec: CanaryRolloutSpec, before: CanaryRolloutStatus, decision: Decision, snapshot: Snapshot) -> None:
        """Metrics and logs of the pass."""
        after = decision.status
        rollout = after.rollout
        self._metrics.show(
            key.namespace,
            key.name,
            RolloutView(
                service=spec.service,
                version=rollout.version if rollout else after.stable_version,
                stable_version=after.stable_version,
                phase=after.phase.value,
                weight=after.weight,
                step=rollout.step.index + 1 if rollout and rollout.step else 0,
                evidence=_evidence(spec, after, snapshot),
                given_way=_given_way(after),
            ),
        )
        if noticed(before.drift, after.drift):
            self._metrics.foreign_changes.labels(key.namespace, key.name).inc()
        if before.phase is after.phase:
            return
        log.info("phase", before=before.phase.value, after=after.phase.value, step=after.step, weight=after.weight, message=after.message)
        if after.phase is Phase.ROLLING_BACK and rollout is not None:
            self._metrics.rolled_back(key.namespace, key.name, rollout.reason)
        if before.phase is Phase.SHIFTING and after.phase is Phase.ANALYSING and rollout and rollout.step and rollout.step.synced_at:
            self._metrics.sync.observe(max(0.0, rollout.step.synced_at - rollout.step.started_at))
        if len(after.history) and after.history[:1] != before.history[:1]:
            entry = after.history[0]
            self._metrics.duration.labels(key.namespace, entry.outcome).observe(max(0.0, entry.ended_at - entry.started_at))


def _refusal(error: ApiError) -> Problem:
    """What the next status says of a write that repeating will not mend."""
    return Problem(WRITE_REFUSED, f"the API server refuses what the rollout needs: {error.message}"[:1024])


def _unread(subject: Subject) -> tuple[EmitEvent, ...]:
    """What to tell about an object that was read in part, once."""
    told = any(subject.problem is not None and condition.reason == subject.problem.reason for condition in subject.status.conditions)
    found = (subject.lost, None if told else subject.problem)
    return tuple(EmitEvent(problem.reason, problem.message, warning=True) for problem in found if problem is not None)


def _given_way(status: CanaryRolloutStatus) -> str:
    """Why the routing is left to others; after a rollback the same reason only says why it was."""
    reason = next((condition.reason for condition in status.conditions if condition.type == "Ready"), "")
    return reason if reason in (DRIFT_CONFLICT, TAKEN_OVER) and status.phase is not Phase.ROLLED_BACK else ""


def _evidence(spec: CanaryRolloutSpec, status: CanaryRolloutStatus, snapshot: Snapshot) -> dict[str, float]:
    stored = status.rollout.evidence if status.rollout else None
    return dict(against(stored, limits(spec, status, snapshot))) if stored is not None else {}


def dump(status: CanaryRolloutStatus) -> dict[str, Any]:
    """The status as the API carries it."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)
