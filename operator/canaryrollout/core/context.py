"""One decision's inputs and what follows from them: the vocabulary in which the transition table is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from canaryrollout.api.analysis import Analysis
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.core import footing, undoing
from canaryrollout.core.adoption import find_stable
from canaryrollout.core.drift_wording import DRIFT_CONFLICT, TAKEN_OVER, conflict
from canaryrollout.core.evidence import EvidenceState
from canaryrollout.core.findings import Finding
from canaryrollout.core.footing import EXAMINED
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.lazy import lazy
from canaryrollout.core.limits import Limits
from canaryrollout.core.ownership import Author, annotator, last_author
from canaryrollout.core.pins import rest_plan
from canaryrollout.core.plan import MeshPlan, make_plan, named, target_of
from canaryrollout.core.preflight.chain import examine, first_error, structural_problem
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.printable import printable
from canaryrollout.core.snapshot import Expectation, Poll, PollFailure, Problem, Raw, Snapshot, VersionPods
from canaryrollout.core.verdict import Verdict, Wait, verdict

RETRY = "canaryrollout.io/retry"
RESUME = "canaryrollout.io/resume"
"""Annotations that ask for something at run time; each new value is one request."""
TAKEOVER = "canaryrollout.io/takeover"
"""Annotation of the CanaryRollout, its VirtualService or its DestinationRule by which people take the routing over."""
REQUEST_LIMIT = 253
"""Characters of such a value that count (and fit into status.handled)."""

WATCHED = frozenset({Phase.SHIFTING, Phase.ANALYSING, Phase.PAUSED, Phase.PROMOTING})
"""Phases in which evidence is counted, so that a breach is undone: all in which the canary may have traffic."""

COUNTED = frozenset(WATCHED | {Phase.PREPARING})
"""Phases in which the provider is polled: the count begins before the canary's first request."""

OFF_BASELINE = frozenset(COUNTED | {Phase.ROLLING_BACK, Phase.RESTORING})
"""Phases in which deletion has to wait until the mesh is restored."""

WRITING = frozenset(OFF_BASELINE | {Phase.ADOPTING})
"""Phases in which the machine may touch the mesh."""

AT_REST = frozenset({Phase.STABLE, Phase.ROLLED_BACK})
"""Phases in which nothing of the operator's is under way in the mesh."""

PROVING = frozenset(WRITING - {Phase.ANALYSING, Phase.PAUSED})
"""Phases that wait for the proxies."""

CLEANUP_SECONDS = 60.0
"""So long what routes do not need any more is taken out of a DestinationRule again and again."""


def looks_around(spec: CanaryRolloutSpec, status: CanaryRolloutStatus) -> bool:
    """Whether the whole of preflight is asked for: before a start, and before each step. At rest, and on the way back to a version
    that served before, only what the machine itself stands on has to be there.
    """
    if status.phase is Phase.STABLE:
        return spec.version not in (status.stable_version, status.previous_version)
    return status.phase in EXAMINED and status.rollout is not None and not status.rollout.revert


_NO_PODS = VersionPods()


def reads_around(spec: CanaryRolloutSpec, status: CanaryRolloutStatus) -> bool:
    """Whether other namespaces are looked at: for the whole of preflight, before the first write, and always for a delegate, whose
    roots may be there.
    """
    delegate = status.routing is not None and bool(status.routing.roots)
    return looks_around(spec, status) or status.phase is Phase.PENDING or delegate


@dataclass(frozen=True)
class Context:
    """A snapshot in the light of the spec and of the status as it stands (evidence of this poll folded in)."""

    spec: CanaryRolloutSpec
    status: CanaryRolloutStatus
    snapshot: Snapshot
    cluster_domain: str = "cluster.local"
    limits: Limits = field(kw_only=True)

    @lazy
    def host(self) -> ServiceHost:
        """The service."""
        return ServiceHost(self.spec.service, self.snapshot.namespace, self.cluster_domain)

    @lazy
    def given(self) -> Input:
        """The input of preflight and adoption."""
        return Input(self.snapshot, self.spec, self.host, self.status.routing)

    @lazy
    def problem(self) -> Problem | None:
        """What stands in the way: people, another writer that was given way to, or the first problem of preflight that is asked for."""
        if self.taken_over:
            return Problem(TAKEN_OVER, f"taken over ({self.taken_over}): nothing is written until the routing is given back")
        drift, routing = self.status.drift, self.status.routing
        if drift is not None and drift.stopped and routing is not None:
            return Problem(DRIFT_CONFLICT, conflict(drift, routing, self.snapshot.now, "nothing is written any more"))
        if self.unmoved:
            return footing.unmoved_problem(self.status)
        found = first_error(self.findings) if looks_around(self.spec, self.status) else structural_problem(self.given)
        return found or footing.relabelled(self.status, self.spec, self.objects[1])

    @property
    def unmoved(self) -> bool:
        """Whether a rollout under way has no route left to move, so that a proof of its weights says nothing."""
        return footing.unmoved(self.status)

    @lazy
    def findings(self) -> tuple[Finding, ...]:
        """All of preflight, where it is asked for."""
        return examine(self.given) if looks_around(self.spec, self.status) else ()

    @lazy
    def stable_found(self) -> str | Problem:
        """The version to adopt."""
        return find_stable(self.given)

    @lazy
    def plan(self) -> MeshPlan | None:
        """The open mesh moves of the present phase; None where the phase leaves the mesh alone."""
        if self.status.phase not in WRITING or self.status.routing is None or not self.snapshot.observed_mesh:
            return None
        target = target_of(self.status, self.spec, self.status.routing, widen=self.widening)
        drift = self.status.drift
        if drift is not None and drift.clusters_first and self.status.phase not in (Phase.ROLLING_BACK, Phase.RESTORING):
            target = replace(target, clusters_first=True)
        around = self.snapshot.surroundings.virtual_services if self.snapshot.surroundings is not None else ()
        return make_plan(target, self.status.routing, self.spec, self.host, self.snapshot.mesh, around=around)

    @property
    def question(self) -> Expectation | None:
        """What to ask the proxies now: in a pause only what has to be proved before the routes are put right."""
        plan, phase = self.plan, self.status.phase
        if plan is None or (phase not in PROVING and (phase is not Phase.PAUSED or plan.routes is None or self.given_way)):
            return None
        return plan.question

    @property
    def cleaning(self) -> bool:
        """Whether all that is left to write is what no route needs any more, as far as it was looked."""
        plan = self.plan
        return plan is not None and plan.cleanup is not None and plan.subsets is None and plan.routes is None

    @property
    def given_way(self) -> bool:
        """Whether the rollout is held because somebody else has the routes, so that it writes nothing (but a rollback)."""
        reasons = (DRIFT_CONFLICT, TAKEN_OVER) if self.taken_over else (DRIFT_CONFLICT,)
        return self.status.pause_reason in reasons

    @lazy
    def rest_plan(self) -> MeshPlan | None:
        """At rest: what has to be written so that the routes left on stable serve it again; None while they do."""
        status = self.status
        if status.phase not in AT_REST or not self.snapshot.observed_mesh or self.snapshot.deleting:
            return None
        return rest_plan(status, self.spec, self.host, self.snapshot.mesh)

    @lazy
    def objects(self) -> tuple[Raw | None, Raw | None]:
        """The VirtualService and the DestinationRule of the rollout, live; None for one that is not there."""
        routing, mesh = self.status.routing, self.snapshot.mesh
        if routing is None:
            return None, None
        return named(mesh.virtual_services, routing.virtual_service), named(mesh.destination_rules, routing.destination_rule)

    @lazy
    def author(self) -> Author | None:
        """Who else last touched what does not look as wanted; None where nobody can be named."""
        work = self.plan or self.rest_plan
        kinds = work.deviating if work is not None else ()
        found = [last_author(item) for item, kind in zip(self.objects, ("VirtualService", "DestinationRule"), strict=True) if kind in kinds]
        return max((author for author in found if author is not None), key=lambda author: author.time or 0.0, default=None)

    def at(self, status: CanaryRolloutStatus) -> "Context":
        """The same snapshot in the light of another status."""
        return replace(self, status=status)

    @lazy
    def taken_over(self) -> str:
        """By whom and why people have taken the routing over, so that nothing of it is written; "" while they have not."""
        drift = self.status.drift
        return self.taken_over_by_annotation or (drift.taken_over if drift is not None else "")

    @lazy
    def taken_over_by_annotation(self) -> str:
        """As above, where an annotation says so."""
        own = {"annotations": self.snapshot.annotations, "managedFields": self.snapshot.managed_fields, "name": self.snapshot.name}
        mine: Raw = {"kind": "CanaryRollout", "metadata": own}
        for item in (mine, *self.objects):
            annotations = item["metadata"].get("annotations") if item is not None else None
            value = str(annotations.get(TAKEOVER, "")).strip() if annotations else ""
            if item is not None and value and value.lower() != "false":
                who = annotator(item, TAKEOVER)
                said = f" by {who}" if who is not None else ""
                why = "" if value.lower() == "true" else f": {printable(value)[:REQUEST_LIMIT]}"
                return f"annotation {TAKEOVER} of {item['kind']} {item['metadata']['name']}{said}{why}"
        return ""

    @property
    def widening(self) -> bool:
        """Whether the object is being deleted and the operator's traces go."""
        return undoing.widening(self.status, self.spec, self.snapshot)

    @property
    def owes(self) -> bool:
        """Whether a resting object may not go before the operator's traces have gone: the finalizer is held for them."""
        return self.status.phase in undoing.AT_REST and undoing.owes(self.spec, self.status) and not self.taken_over

    @property
    def undoable(self) -> bool:
        """Whether they can go without a request going elsewhere."""
        return self.owes and undoing.alone(self.status, self.snapshot)

    def pods(self, version: str) -> VersionPods:
        """The pods of a version."""
        return self.snapshot.versions.get(version, _NO_PODS)

    @property
    def canary(self) -> VersionPods:
        """The pods of the version on trial (of the desired version while none is)."""
        return self.pods(self.status.rollout.version if self.status.rollout else self.spec.version)

    @property
    def stable(self) -> VersionPods:
        """The pods of the version to fall back to."""
        return self.pods(self.status.rollout.stable if self.status.rollout else self.status.stable_version)

    def proved(self, expectation: Expectation | None) -> bool:
        """Whether the proxies are proved to serve exactly that."""
        sync = self.snapshot.sync
        return expectation is not None and sync is not None and sync.expectation == expectation and sync.in_sync

    @property
    def settled(self) -> bool:
        """Whether nothing is left to write and the proxies acknowledged the routes (the clusters, before any route)."""
        plan = self.plan
        return plan is not None and plan.subsets is None and plan.routes is None and self.proved(plan.question)

    @property
    def converged(self) -> bool:
        """Settled, and what had to wait for the proof is cleaned up too, as far as others let it."""
        return self.settled and self.plan is not None and (self.plan.cleanup is None or self.cleaned_in_vain)

    @property
    def cleaned_in_vain(self) -> bool:
        """Whether somebody puts back, or refuses, what is cleaned up since long ago: no route needs it any more, so it may stay."""
        if not self.settled or self.plan is None or self.plan.cleanup is None:
            return False
        return self.snapshot.now - self._settled_since >= CLEANUP_SECONDS

    @property
    def _settled_since(self) -> float:
        """API time since which this phase has had its proof, as far as anybody looked; now while it has not been told yet."""
        told = {c.type: c.last_transition_time for c in self.status.conditions if c.status == "True"}
        began = self.status.rollout.phase_since if self.status.rollout is not None else told.get("Reconciling", self.snapshot.now)
        return max(began, told.get("ProxiesSynced", self.snapshot.now), self.snapshot.watched_since)

    @property
    def drifted(self) -> bool:
        """Whether somebody else changed what this phase had already written."""
        return self.plan is not None and (self.plan.subsets is not None or self.plan.routes is not None)

    @property
    def safe(self) -> bool:
        """Whether every version that the present intent gives weight to has a ready endpoint (invariant 1).

        The way back is safe, too, where neither version has one: it harms nobody, and stable is what people bring up first.
        """
        weight = self.status.weight
        nobody_answers = self.widening or (self.status.rollout is not None and self.canary.ready == 0)
        return (weight == 0 or self.canary.ready > 0) and (weight == 100 or self.stable.ready > 0 or nobody_answers)

    @lazy
    def evidence(self) -> EvidenceState | None:
        """What has been counted in this rollout; None before the provider's first answer."""
        rollout = self.status.rollout
        return rollout.evidence if rollout else None

    @lazy
    def verdict(self) -> Verdict:
        """What the evidence says. Only a pass with a fresh answer of the provider can find for the canary."""
        problems = (*_doubts(self.snapshot.poll), *self._unready, *self._shared_workload)
        if self.evidence is None:
            return Wait(problems[0].reason, problems[0].message) if problems else Wait("NotObserved", "nothing has been counted yet")
        return verdict(self.evidence, self.limits, problems)

    @property
    def _unready(self) -> tuple[Problem, ...]:
        """Pods of the canary that do not serve: what the others show is not yet what all will do."""
        ready, total = self.canary.ready, self.canary.total
        if ready >= total or not self.snapshot.observed_endpoints:
            return ()
        failing = f" ({'; '.join(self.canary.failing)})" if self.canary.failing else ""
        return (Problem("CanaryPodsUnready", f"{ready} of {total} canary pods are ready{failing}"),)

    @property
    def _shared_workload(self) -> tuple[Problem, ...]:
        """A workload with pods of both versions: its requests cannot be told apart."""
        shared = sorted(set(self.canary.workloads) & set(self.stable.workloads))
        if not shared:
            return ()
        return (Problem("SharedWorkload", f"pods of both versions belong to {', '.join(shared)}: their requests cannot be told apart"),)

    @lazy
    def analysis(self) -> Analysis:
        """The analysis at the present weight, the step's overrides applied."""
        return self.spec.analysis_at(self.status.weight)

    @property
    def observed_long_enough(self) -> bool:
        """Whether the step has been watched for its minDuration, in Prometheus time."""
        step = self.status.rollout.step if self.status.rollout else None
        if step is None or step.observed_from is None or step.observed_until is None:
            return False
        return step.observed_until - step.observed_from >= self.analysis.min_duration

    def requested(self, annotations: Mapping[str, str], name: str, handled: str) -> bool:
        """Whether an annotation carries a request that has not been carried out."""
        return bool(annotations.get(name)) and annotations[name][:REQUEST_LIMIT] != handled

    @property
    def waiting_since(self) -> float:
        """API time from which the proxies are waited for, as far as anybody was there to ask them.

        Preparing may rest for long on a proof that it has (no endpoints yet, paused): there the wait starts when it is lost. So it
        does where there is no rollout: adopting, and undoing what the operator left at rest.
        """
        rollout, now, drift = self.status.rollout, self.snapshot.now, self.status.drift
        held = drift.next_attempt if drift is not None and drift.next_attempt is not None else 0.0
        since = max(rollout.phase_since if rollout is not None else 0.0, self.snapshot.watched_since, held)
        proof = next((c for c in self.status.conditions if c.type == "ProxiesSynced"), None)
        if rollout is not None and (self.status.phase is not Phase.PREPARING or proof is None):
            return since
        if rollout is None and self.settled:
            return self._settled_since
        return now if proof is None or proof.status == "True" else max(since, proof.last_transition_time)


def _doubts(poll: Poll | PollFailure | None) -> tuple[Problem, ...]:
    """What forbids finding for the canary now."""
    if poll is None:
        return (Problem("BetweenPolls", "the provider was not asked in this pass"),)
    return (poll.problem,) if isinstance(poll, PollFailure) else poll.problems
