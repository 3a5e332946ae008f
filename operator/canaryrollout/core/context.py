"""One decision's inputs and what follows from them: the vocabulary in which the transition table is written."""

from dataclasses import dataclass, field, replace

from canaryrollout.api.analysis import Analysis
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.core import footing, requested, undoing
from canaryrollout.core.adoption import find_stable
from canaryrollout.core.doubts import doubts
from canaryrollout.core.drift_wording import DRIFT_CONFLICT, TAKEN_OVER, conflict
from canaryrollout.core.evidence import EvidenceState
from canaryrollout.core.findings import Finding
from canaryrollout.core.hosts import ServiceHost
from canaryrollout.core.lazy import lazy
from canaryrollout.core.limits import Limits
from canaryrollout.core.ownership import Author, last_author
from canaryrollout.core.phases import AT_REST, PROVING, WRITING, looks_around
from canaryrollout.core.pins import rest_plan
from canaryrollout.core.plan import MeshPlan, make_plan, named, target_of
from canaryrollout.core.preflight.chain import examine, first_error, structural_problem
from canaryrollout.core.preflight.inputs import Input
from canaryrollout.core.snapshot import Expectation, Problem, Raw, Snapshot, VersionPods
from canaryrollout.core.verdict import Verdict, Wait, verdict

_NO_PODS = VersionPods()


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
        return requested.takeover(self.snapshot, self.objects)

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
        problems = doubts(self.snapshot, self.canary, self.stable)
        if self.evidence is None:
            return Wait(problems[0].reason, problems[0].message) if problems else Wait("NotObserved", "nothing has been counted yet")
        return verdict(self.evidence, self.limits, problems)

    @lazy
    def analysis(self) -> Analysis:
        """The analysis at the present weight, the step's overrides applied."""
        return self.spec.analysis_at(self.status.weight)
