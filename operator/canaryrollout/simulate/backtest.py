"""What a policy would have done to the deployments in Prometheus's history."""

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from random import Random

from canaryrollout.api.evidence import Baseline, ReporterBaseline
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.core.snapshot import Reporter, Slice
from canaryrollout.metrics import baseline, edges, queries, slices
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.metrics.promql import alternation, quote
from canaryrollout.metrics.provider import Question
from canaryrollout.simulate.history import Deployment, HistorySource, Past, Release, find_deployments
from canaryrollout.simulate.many import Outcome, outcome_of
from canaryrollout.simulate.replay import SLICE_SECONDS, Replay, Shell

_MOST_POINTS = 8000
"""Prometheus answers at most 11,000 points of a series."""
_POINTS_PER_QUERY = 720
_BEFORE_SECONDS = 3600.0
_LONGEST_SECONDS = 6 * 3600.0
_STEP_OVERHEAD_SECONDS = 60.0
_LEAD_SECONDS = 15.0
"""So long before the new version's first counts the replay begins."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose history is asked for."""

    service: str
    namespace: str

    @property
    def matchers(self) -> tuple[str, ...]:
        """The service's own requests."""
        return (
            'reporter=~"source|destination"',
            f"destination_service_name={quote(self.service)}",
            f"destination_workload_namespace={quote(self.namespace)}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What would have become of a deployment. Seconds count from its first requests."""

    deployment: Deployment
    outcome: Outcome
    begun: float
    seconds: float
    weight: int
    explanation: str
    failed: float
    """Requests that would have failed by the end of the observed history."""
    really_failed: float
    """Requests of the new version that did fail in the same time."""


class History:
    """A service's past in Prometheus, and replays of a policy on it. Every method raises PrometheusError."""

    def __init__(self, client: PrometheusClient, subject: Subject, spec: CanaryRolloutSpec, shell: Shell) -> None:
        self._client = client
        self._subject = subject
        self._spec = spec
        self._shell = shell

    async def deployments(self, since: float) -> list[Deployment]:
        """Those of the last `since` seconds."""
        now = await self._client.now()
        step = 60_000 * max(1, math.ceil(since * 1000.0 / _MOST_POINTS / 60_000))
        ends = range(now - int(since * 1000.0) + step, now + 1, step)
        series = f"{queries.REQUESTS}{{{','.join(self._subject.matchers)}}}"
        by = "destination_workload,destination_version,reporter"
        found = await self._client.evaluate(f"sum by({by})(increase({series}[{2 * step}ms]))", ends)
        presence: dict[Release, dict[float, float]] = defaultdict(dict)
        for sample in found:
            release = Release(sample.labels.get("destination_workload", ""), sample.labels.get("destination_version", ""))
            if release.version != "unknown" and release.workload not in ("", "unknown"):
                seen = presence[release]
                seen[sample.time / 1000.0] = max(seen.get(sample.time / 1000.0, 0.0), sample.value)
        return find_deployments({release: sorted(seen.items()) for release, seen in presence.items()}, ends[0] / 1000.0, step / 1000.0)

    async def replay(self, deployment: Deployment, seed: int) -> Verdict | None:
        """What the policy would have done; None where the deployment's first requests are not to be found any more."""
        begun = await self._first_requests(deployment)
        if begun is None:
            return None
        start = begun - _LEAD_SECONDS
        longest = min(longest_seconds(self._spec), deployment.ended - start)
        past = await self._past(deployment, start - self._shell.ingestion_delay, longest)
        version = deployment.canary.version or deployment.canary.workload
        source = HistorySource(past, Random(f"{seed}/{begun}"), start)  # noqa: S311 - a simulation
        spec = self._spec.model_copy(update={"version": version[:63]})
        replay = Replay(spec, source, replace(self._shell, longest=longest), start=start).run()
        return _verdict(deployment, begun, past, source, replay)

    async def _first_requests(self, deployment: Deployment) -> float | None:
        """When the canary's first counts appear."""
        end, length = round(deployment.begun * 1000.0), round(SLICE_SECONDS * 1000.0)
        pieces = await self._counted(deployment, (), range(end - (_POINTS_PER_QUERY - 1) * length, end + 1, length))
        return next((piece.start for piece in pieces if piece.canary.total > 0.0), None)

    async def _past(self, deployment: Deployment, grid: float, longest: float) -> Past:
        """The hour before `grid` (an edge between slices) and `longest` seconds after it."""
        length = round(SLICE_SECONDS * 1000.0)
        first = round((grid - _BEFORE_SECONDS) * 1000.0)
        count = int((_BEFORE_SECONDS + longest) // SLICE_SECONDS)
        names = self._subject
        asked = Question(names.namespace, names.service, (), (deployment.stable.workload,), self._spec.analysis.max_p99_latency)
        at = range(round(grid * 1000.0), round(grid * 1000.0) + 1)
        known = tuple(sorted(edges.read(s.labels.get("le", "") for s in await self._client.evaluate(queries.known_edges(asked), at))))
        interval = await self._client.evaluate(queries.scrape_interval(asked), at)
        found: dict[tuple[int, Reporter], Slice] = {}
        for begin in range(0, count, _POINTS_PER_QUERY):
            ends = range(first + (begin + 1) * length, first + min(begin + _POINTS_PER_QUERY, count) * length + 1, length)
            for piece in await self._counted(deployment, known, ends):
                found[round((piece.end * 1000.0 - first) / length) - 1, piece.reporter] = piece
        measured = next((round(sample.value, 3) for sample in interval), None)
        before = _baseline(found, round(_BEFORE_SECONDS / SLICE_SECONDS), measured, known)
        return Past(first / 1000.0, SLICE_SECONDS, found, before, count)

    async def _counted(self, deployment: Deployment, known: tuple[float, ...], ends: range) -> tuple[Slice, ...]:
        """Slices that end at `ends`, the two releases told apart by workload and version."""
        releases, threshold = (deployment.canary, deployment.stable), self._spec.analysis.max_p99_latency
        matchers = (
            *self._subject.matchers,
            f"destination_workload=~{quote(alternation(tuple(release.workload for release in releases)))}",
            f"destination_version=~{quote(alternation(tuple(release.version for release in releases)))}",
        )
        names = tuple(release.joined for release in releases)
        question = Question(self._subject.namespace, self._subject.service, names[:1], names[1:], threshold, edges=known)
        buckets = (*matchers, f"le=~{quote(edges.enclosing(threshold, known).pattern)}")
        asked = (
            _joined(queries.REQUESTS, matchers, queries.OUTCOME, ends.step),
            _joined(queries.DURATIONS, buckets, ("reporter", "destination_workload", "le"), ends.step),
        )
        answers = [await self._client.evaluate(query, ends) for query in asked]
        requests, durations = ([sample for sample in samples if sample.labels.get("destination_workload") in names] for samples in answers)
        return slices.read_slices(question, ends.step, requests, durations)[0]


def _verdict(deployment: Deployment, begun: float, past: Past, source: HistorySource, replay: Replay) -> Verdict:
    outcome = outcome_of(replay.status, replay.spec)
    ended = replay.rolled_back_at if replay.rolled_back_at is not None else replay.now
    rollout, history = replay.status.rollout, replay.status.history
    explanation = (rollout.explanation or replay.status.message) if rollout else history[0].message if history else ""
    after = past.failed(past.index(replay.now), past.count) if outcome == "Promoted" else 0.0
    return Verdict(
        deployment=deployment,
        outcome=outcome,
        begun=begun,
        seconds=ended - begun,
        weight=rollout.step.weight if rollout and rollout.step else history[0].weight if history else 0,
        explanation=explanation,
        failed=max(source.failed.values()) + after,
        really_failed=past.failed(past.index(replay.started), past.count),
    )


def longest_seconds(spec: CanaryRolloutSpec) -> float:
    """How long a rollout can take at most, as far back as is asked for."""
    steps = (_STEP_OVERHEAD_SECONDS + spec.analysis_at(step.weight).max_duration for step in spec.steps)
    return min(sum(steps), _LONGEST_SECONDS)


def _joined(metric: str, matchers: tuple[str, ...], by: tuple[str, ...], length: int) -> str:
    """The growth of each counter, with WORKLOAD/VERSION in the place of the workload."""
    grown = queries.growth(metric, matchers, (*by, "destination_version"), length, queries.SCRAPE_LABELS)
    joined = f'label_join({grown},"destination_workload","/","destination_workload","destination_version")'
    return f'label_replace({joined},"destination_version","","","")'


def _baseline(found: dict[tuple[int, Reporter], Slice], count: int, scrape_interval: float | None, known: tuple[float, ...]) -> Baseline:
    """What stable was like in the hour before, in pieces as metrics.baseline takes them."""
    per_piece = round(baseline.SLICE_MS / 1000.0 / SLICE_SECONDS)

    def of(reporter: Reporter) -> ReporterBaseline | None:
        pieces = []
        for begin in range(0, count, per_piece):
            counts = [found[index, reporter].stable for index in range(begin, begin + per_piece) if (index, reporter) in found]
            pieces.append([sum(getattr(c, name) for c in counts) for name in ("total", "errors", "timed", "not_fast")])
        if not any(piece[0] for piece in pieces):
            return None
        total, errors, timed, slow = (sum(column) for column in zip(*pieces, strict=True))
        return ReporterBaseline(
            requests=total,
            errors=errors,
            timed=timed,
            not_fast=slow,
            error_burst=baseline.burst([(piece[0], piece[1]) for piece in pieces]),
            slow_burst=baseline.burst([(piece[2], piece[3]) for piece in pieces]),
        )

    return Baseline(
        seconds=count * SLICE_SECONDS,
        scrape_interval=scrape_interval,
        edges=known[:64],
        source=of(Reporter.SOURCE),
        destination=of(Reporter.DESTINATION),
    )
