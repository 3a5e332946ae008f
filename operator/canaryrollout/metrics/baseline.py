"""What stable was like in the hour before a rollout: how many requests failed or were slow, and in what clumps.

Counted as a rollout's slices are, with resets, newborn series and losses of history; evaluated as two range queries.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from canaryrollout.api.evidence import MOST_COUNT, Baseline, ReporterBaseline
from canaryrollout.core.snapshot import Reporter, Slice
from canaryrollout.metrics import edges, slices
from canaryrollout.metrics.answers import Sample
from canaryrollout.metrics.provider import Question

SPAN_MS = 3_600_000
SLICE_MS = 15_000
RECENT_MS = 60_000
"""The traffic of the hour may have changed; what a rollout will need follows from that of now."""

_MOST_EDGES = 64
_MOST_BURST = 1e6
_LEAST_REQUESTS = 1e-3
_OUTAGE = 0.2
"""Slices with a greater share of bad requests are an outage's: they tell nothing about the clumps of ordinary days."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Of queries.build on `times` for stable alone, queries.known_edges and queries.scrape_interval."""

    requests: Sequence[Sample]
    durations: Sequence[Sample]
    edges: Sequence[Sample]
    scrape_interval: Sequence[Sample]


def times(end: int) -> range:
    """The ends of the slices of the hour up to `end`; milliseconds."""
    return range(end - SPAN_MS + SLICE_MS, end + 1, SLICE_MS)


def of_stable(question: Question, known: Sequence[Sample]) -> Question:
    """The question about stable alone, by the edges that are known."""
    return replace(question, canary_workloads=(), edges=_edges(question, known))


def read(question: Question, end: int, answers: Answers) -> Baseline:
    """`question` is that of `of_stable`. Raises PrometheusError."""
    counted, _ = slices.read_slices(question, SLICE_MS, answers.requests, answers.durations)
    own = [sample for sample in answers.requests if sample.labels.get("destination_workload") in question.stable_workloads]
    reporters = {sample.labels.get("reporter") for sample in own}
    first = min((sample.time for sample in own), default=end + SLICE_MS)
    return Baseline(
        seconds=(end - first + SLICE_MS) / 1000.0,
        requests_per_second=max(_recent_rate(reporter, counted, end) for reporter in Reporter),
        scrape_interval=next((round(sample.value, 3) for sample in answers.scrape_interval), None),
        unattributed=_sum(piece.unattributed_errors for piece in counted if piece.unattributed_errors <= _OUTAGE * piece.stable.total),
        edges=question.edges,
        source=_of(Reporter.SOURCE, counted) if Reporter.SOURCE in reporters else None,
        destination=_of(Reporter.DESTINATION, counted) if Reporter.DESTINATION in reporters else None,
    )


def known_since(baseline: Baseline | None, weight_since: float | None) -> float | None:
    """Prometheus time since which stable's requests have certainly been known; None: that cannot be told.

    The baseline was read before the canary's first weight, and the first of its slices may have been empty but for its end. One of no
    span has seen nothing of stable, or could not be got: the first requests that there are may be new.
    """
    if baseline is None or weight_since is None or baseline.seconds <= 0.0:
        return None
    return weight_since - max(0.0, baseline.seconds - SLICE_MS / 1000.0)


def burst(counted: Sequence[tuple[float, float]]) -> float:
    """Pearson's chi squared per degree of freedom of (requests, bad ones): 1 for independent requests, about the clumps' size else."""
    busy = [(requests, bad) for requests, bad in counted if requests >= _LEAST_REQUESTS and bad <= _OUTAGE * requests]
    every, bad = sum(requests for requests, _ in busy), sum(bad for _, bad in busy)
    if len(busy) < 2 or not 0.0 < bad < every:
        return 1.0
    share = bad / every
    chi = sum((found - requests * share) ** 2 / (requests * share * (1.0 - share)) for requests, found in busy)
    # Rounded up: larger factors make either verdict later, never wrong.
    return min(math.ceil(chi / (len(busy) - 1) * 1000.0) / 1000.0, _MOST_BURST)


def _of(reporter: Reporter, counted: Sequence[Slice]) -> ReporterBaseline:
    stable = [piece.stable for piece in counted if piece.reporter is reporter]
    return ReporterBaseline(
        requests=_sum(counts.total for counts in stable),
        errors=_sum(counts.errors for counts in stable),
        timed=_sum(counts.timed for counts in stable),
        not_fast=_sum(counts.not_fast for counts in stable),
        error_burst=burst([(counts.total, counts.errors) for counts in stable]),
        slow_burst=burst([(counts.timed, counts.not_fast) for counts in stable]),
    )


def _recent_rate(reporter: Reporter, counted: Sequence[Slice], end: int) -> float:
    """Requests per second in the last minute, or in what is known of it."""
    recent = [piece for piece in counted if piece.reporter is reporter and piece.end * 1000.0 > end - RECENT_MS]
    return round(_sum(piece.stable.total for piece in recent) / (len(recent) * SLICE_MS / 1000.0), 3) if recent else 0.0


def _edges(question: Question, known: Sequence[Sample]) -> tuple[float, ...]:
    """All edges, or of very many those around the threshold."""
    found = edges.read(sample.labels.get("le", "") for sample in known)
    threshold = question.latency_threshold * 1000.0
    return tuple(sorted(sorted(found, key=lambda edge: abs(edge - threshold))[:_MOST_EDGES]))


def _sum(counts: Iterable[float]) -> float:
    return min(sum(counts), MOST_COUNT)
