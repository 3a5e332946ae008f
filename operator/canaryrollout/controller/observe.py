"""Gathering one snapshot: everything is read live, so that no decision rests on a cache that missed an event."""

import asyncio
import time
from dataclasses import dataclass, replace

import structlog

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.controller.cluster import ClusterReader, MetricLookup, no_custom_metrics
from canaryrollout.controller.revisions import Revisions
from canaryrollout.controller.subject import Subject
from canaryrollout.controller.surroundings import SurroundingsReader
from canaryrollout.core.context import Context
from canaryrollout.core.machine import MachineSettings
from canaryrollout.core.observation import limits
from canaryrollout.core.phases import COUNTED, WRITING, reads_around
from canaryrollout.core.slicing import next_poll
from canaryrollout.core.snapshot import Poll, PollFailure, Problem, Raw, Snapshot, SyncReport
from canaryrollout.core.standing import Standing, asked, asking, stand
from canaryrollout.kube.client import KubeClient
from canaryrollout.mesh.router import SyncProver
from canaryrollout.metrics.baseline import known_since
from canaryrollout.metrics.provider import MetricsProvider, Question

GAP_SECONDS = 60.0
"""Looks further apart than this are not one watch: a wait that is going on comes back every few seconds."""

REFUSAL_SECONDS = 60.0

WATCH_SECONDS = 0.25
"""How long to wait for a watch that is behind what was read."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Look:
    """What one process remembers of an object. Losing it costs a little patience, never soundness."""

    since: float
    """API time at which it began to look without a gap."""
    ended: float
    """Monotonic time at which the last look ended."""
    polled: float | None = None
    """Monotonic time of the last poll of the metrics provider."""
    landed: frozenset[str] = frozenset()
    """Kinds of Istio objects that the last pass wrote."""
    refusal: tuple[float, Problem] | None = None
    """When (monotonic) the API server last refused a write, and what it said."""
    standing: Standing | None = None
    """What the proxies were asked for last."""
    due: float = 0.0
    """Monotonic time at which the next one can bring something new."""


class Observer:
    """Reads the cluster, the mesh and the metrics provider for one CanaryRollout at a time."""

    def __init__(
        self,
        kube: KubeClient,
        prover: SyncProver,
        metrics: MetricsProvider,
        settings: MachineSettings,
        lookup: MetricLookup = no_custom_metrics,
        *,
        surroundings: SurroundingsReader | None = None,
        revisions: Revisions | None = None,
    ) -> None:
        """`lookup` turns spec.analysis.metrics into queries, or says why it cannot; `revisions` is what the watches bring.

        Without `surroundings` nobody looks around.
        """
        self._kube = kube
        self._prover = prover
        self._metrics = metrics
        self._settings = settings
        self._cluster = ClusterReader(kube, lookup)
        self._surroundings = surroundings
        self._revisions = revisions or Revisions()
        self._looks: dict[tuple[str, str], _Look] = {}

    async def snapshot(self, subject: Subject, spec: CanaryRolloutSpec) -> Snapshot:
        """All inputs of one decision. Raises ApiError where the API server does not answer (the pass is repeated)."""
        seen = await self._cluster.read(subject, spec)
        look = self._look(seen)
        seen = replace(seen, watched_since=look.since, landed=look.landed, problems=(*seen.problems, *_standing(look)))
        context = self._context(spec, subject.status, seen)
        # On the way back only once the routes are written: nothing may delay that.
        if self._surroundings is not None and (reads_around(spec, subject.status) or context.cleaning):
            seen = replace(seen, surroundings=await self._surroundings.around(seen.namespace))
            context = self._context(spec, subject.status, seen)
        since = await self._since(context, look)
        seen = replace(seen, mesh=replace(seen.mesh, since=since))
        context = self._context(spec, subject.status, seen)
        sync, poll = await asyncio.gather(self._sync(context), self._poll(context, look))
        look.ended = time.monotonic()
        due = max(0.05, look.due - look.ended) if context.status.phase in COUNTED else None
        return replace(seen, sync=sync, poll=poll, poll_due=due, now=self._kube.server_time())

    def _context(self, spec: CanaryRolloutSpec, status: CanaryRolloutStatus, seen: Snapshot) -> Context:
        return Context(spec, status, seen, self._settings.cluster_domain, limits=limits(spec, status, seen))

    async def _since(self, context: Context, look: _Look) -> dict[str, str]:
        """Since which revision the object that the proxies are asked about has been asking for the same."""
        question = context.question
        item = asking(question, context.snapshot.mesh) if question is not None else None
        known, between = look.standing, None
        if item is not None and question is not None and known is not None and known.revision != question.revision:
            path = await self._revisions.after(known.revision, dict(item), WATCH_SECONDS)
            between = [asked(context, revision) for revision in path] if path is not None else None
            if path is None:
                log.debug("revisions may have been missed: the proof begins anew", known=known.revision, now=question.revision)
        for written in _written(context):
            self._revisions.follow(dict(written))
        look.standing = stand(known, question, between)
        return {look.standing.revision: look.standing.since} if look.standing is not None else {}

    def refused(self, namespace: str, name: str, problem: Problem) -> None:
        """A write was refused: for a while it is a problem of the object, so that people see it where they look."""
        look = self._looks.get((namespace, name))
        if look is not None:
            look.refusal = time.monotonic(), problem

    def landed(self, namespace: str, name: str, kinds: frozenset[str]) -> None:
        """The API server took a write: whatever the next look finds otherwise, somebody else has changed."""
        look = self._looks.get((namespace, name))
        if look is not None:
            look.landed = kinds

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is remembered of an object that is gone."""
        self._looks.pop((namespace, name), None)

    def _look(self, seen: Snapshot) -> _Look:
        """What is remembered of earlier looks at this object; after a gap they do not count."""
        key = seen.namespace, seen.name
        look = self._looks.get(key)
        if look is None or time.monotonic() - look.ended > GAP_SECONDS:
            look = self._looks[key] = _Look(since=seen.now, ended=time.monotonic(), refusal=look.refusal if look is not None else None)
        return look

    async def _sync(self, context: Context) -> SyncReport | None:
        question = context.question
        if question is None:
            return None
        return await self._prover.prove(question, frozenset(context.status.relevant_workloads))

    async def _poll(self, context: Context, look: _Look) -> Poll | PollFailure | None:
        if context.status.rollout is None or context.status.phase not in COUNTED or not self._due(context, look):
            return None
        look.polled = time.monotonic()
        rollout, evidence = context.status.rollout, context.evidence
        question = Question(
            namespace=context.snapshot.namespace,
            service=context.spec.service,
            canary_workloads=context.canary.workloads,
            stable_workloads=context.stable.workloads,
            latency_threshold=context.analysis.max_p99_latency,
            canary_pods=context.canary.ready,
            edges=rollout.baseline.edges if rollout.baseline is not None else (),
            scrape_interval=rollout.baseline.scrape_interval if rollout.baseline is not None else None,
            known_since=known_since(rollout.baseline, evidence.weight_since if evidence is not None else None),
            boundary=rollout.step.observed_from if rollout.step is not None and context.status.phase is Phase.ANALYSING else None,
            canary_version=rollout.version,
            stable_version=rollout.stable,
            metrics=context.snapshot.custom_metrics,
        )
        poll = await self._answer(question, evidence.cursor if evidence is not None else None)
        wait = next_poll(poll, question.boundary, self._settings.poll_interval, self._settings.visible_after)
        look.due = time.monotonic() + wait
        return poll

    async def _answer(self, question: Question, cursor: float | None) -> Poll | PollFailure:
        """A provider that breaks its contract must not stop the pass: endpoints, deletion and the mesh are still looked after."""
        try:
            return await self._metrics.poll(question, cursor)
        except Exception:
            log.exception("the metrics provider failed")
            return PollFailure(Problem("ProviderFailed", "the metrics provider failed unexpectedly: see the operator's log"))

    def _due(self, context: Context, look: _Look) -> bool:
        """When another slice is complete, and at once where a step's observation has to begin."""
        step = context.status.rollout.step if context.status.rollout else None
        beginning = context.status.phase is Phase.ANALYSING and step is not None and step.observed_from is None
        now = time.monotonic()
        return look.polled is None or now >= look.due or (beginning and now - look.polled >= 1.0)


def _written(context: Context) -> tuple[Raw, ...]:
    """The objects about which the proxies are asked now, or will be after the next write."""
    return tuple(item for item in context.objects if item is not None) if context.status.phase in WRITING else ()


def _standing(look: _Look) -> tuple[Problem, ...]:
    """A refusal, while it is fresh: at rest nothing is written that could show that it is over."""
    if look.refusal is None or time.monotonic() - look.refusal[0] > REFUSAL_SECONDS:
        return ()
    return (look.refusal[1],)
