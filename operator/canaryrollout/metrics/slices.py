"""From the samples of a poll to counted slices, and to what is wrong with the data they come from."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from canaryrollout.core.snapshot import Counts, Problem, Reporter, Slice
from canaryrollout.metrics import errors
from canaryrollout.metrics.answers import Sample
from canaryrollout.metrics.edges import Enclosing, enclosing
from canaryrollout.metrics.provider import Question

_BAD_GRPC = frozenset({"2", "4", "12", "13", "14", "15"})
"""UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: the server's faults; HTTP says 200 to them."""

_NO_POD = frozenset({"UH", "UO", "UF", "NC", "NR", "DF"})
"""Envoy's response flags of requests that no pod has answered."""

_CLIENT_GONE = "0"
"""The response code of a request whose client gave up before there was one."""

_BORN = "born"
"""See queries.growth."""

_HISTORY_LOST = 50.0
"""Below so many requests in series new to Prometheus, new series are just that: a new caller, a first 404."""


@dataclass
class _Version:
    total: float = 0.0
    errors: float = 0.0
    aborted: float = 0.0
    born: float = 0.0
    buckets: dict[str, dict[float, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    """Cumulated counts by edge in milliseconds (infinity: all), for each workload."""

    @property
    def measured(self) -> bool:
        """Whether there is an edge at all."""
        return any(len(buckets) > 1 for buckets in self.buckets.values())

    def counts(self, around: Enclosing) -> Counts:
        slow = timed = not_fast = 0.0
        for buckets in self.buckets.values():
            if len(buckets) > 1:
                every = buckets[math.inf]
                certain = 0.0 if around.above not in buckets else _beyond(every, buckets[around.above])
                possible = every if around.below not in buckets else _beyond(every, buckets[around.below])
                slow, timed, not_fast = slow + certain, timed + every, not_fast + max(certain, possible)
        return Counts(total=self.total, errors=self.errors, slow=slow, timed=timed, not_fast=not_fast, aborted=self.aborted)


def _beyond(every: float, within: float) -> float:
    # Buckets of a proxy that was restarted may have shrunk one without the other: never below none.
    return max(every - within, 0.0)


@dataclass
class _Piece:
    canary: _Version = field(default_factory=_Version)
    stable: _Version = field(default_factory=_Version)
    unattributed: float = 0.0
    forgotten: float = 0.0
    """What series that Prometheus may have known before have counted."""

    @property
    def seems_lost(self) -> bool:
        """Whether Prometheus seems to have forgotten its past: everything would count a second time."""
        return self.stable.born >= _HISTORY_LOST and self.stable.born > self.stable.total / 2.0


History = Mapping[tuple[int, Reporter], bool]
"""Whether a reporter was known long before the slice that ends at a time (milliseconds): what is new then is new indeed."""


def newborn(samples: Iterable[Sample]) -> frozenset[tuple[int, Reporter]]:
    """The slices in which series were born that have counted something, by their ends. Raises PrometheusError."""
    return frozenset((sample.time, _reporter(sample)) for sample in samples if _BORN in sample.labels and sample.value > 0.0)


def read_slices(
    question: Question, length: int, requests: Sequence[Sample], durations: Sequence[Sample], history: History | None = None
) -> tuple[tuple[Slice, ...], tuple[Problem, ...]]:
    """The slices of `length` milliseconds that the samples' times end, one per reporter that has any. Raises PrometheusError.

    Series that are born where `history` says that nothing was known before are left out. Where it says nothing, and most of stable is new,
    all is left out but how the canary's known series grew: that is sure, and must not be hidden by new pods of stable.
    """
    known = history or {}
    pieces = _pieces(question, requests, durations, known)
    lost = {at for at, piece in pieces.items() if at not in known and piece.seems_lost}
    problems = _history_problems(bool(lost) or any(piece.forgotten > 0.0 for piece in pieces.values()))
    problems += _latency_problems(question, pieces.values())
    if lost:
        grown = _pieces(question, requests, durations, dict.fromkeys(lost, False))
        pieces |= {at: _Piece(canary=grown[at].canary) for at in lost}
    around = enclosing(question.latency_threshold, question.edges)
    kept = tuple(
        Slice(
            start=(end - length) / 1000.0,
            end=end / 1000.0,
            reporter=reporter,
            canary=piece.canary.counts(around),
            stable=piece.stable.counts(around),
            unattributed_errors=piece.unattributed,
        )
        for (end, reporter), piece in sorted(pieces.items(), key=lambda item: item[0])
        if (end, reporter) not in lost or piece.canary.total > 0.0
    )
    return kept, tuple(problems)


def _pieces(
    question: Question, requests: Iterable[Sample], durations: Iterable[Sample], known: History
) -> dict[tuple[int, Reporter], _Piece]:
    """What was counted, without the series that were born where nothing was known before."""
    pieces: dict[tuple[int, Reporter], _Piece] = defaultdict(_Piece)
    for read, samples in ((_count_request, requests), (_count_duration, durations)):
        for sample in samples:
            at = sample.time, _reporter(sample)
            if _BORN in sample.labels and not known.get(at, True):
                pieces[at].forgotten += sample.value
            else:
                read(question, sample, pieces[at])
    return pieces


def read_freshness(question: Question, time: int, samples: Sequence[Sample], oldest: float) -> tuple[Problem, ...]:
    """Whether the canary's series are there, all of them, and at most `oldest` seconds old. Raises PrometheusError."""
    ages = [
        (time / 1000.0 - sample.value, _reporter(sample), sample.labels.get("pod", ""))
        for sample in samples
        if _label(sample, "destination_workload") in question.canary_workloads
    ]
    pods = [sample.labels.get("pod", "") for sample in samples if _reporter(sample) is Reporter.DESTINATION]
    problems = []
    if not ages:
        said = f"Prometheus has no requests to {_names(question)}: there were none, or its proxies are not scraped"
        problems.append(Problem("NoData", said))
    for reporter in Reporter:
        newest = min((age for age, of, _ in ages if of is reporter), default=0.0)
        if newest > oldest:
            problems.append(Problem("Stale", f"the newest sample of {_names(question)} (reporter={reporter}) is {newest:.0f} s old"))
    if "" in pods:
        said = "the series of the service's pods carry no label pod: requests of several pods cannot be told apart"
        problems.append(Problem("PodLabelMissing", said))
    elif ages and pods:
        fresh = {pod for age, of, pod in ages if of is Reporter.DESTINATION and age <= oldest}
        problems += _pods_not_scraped(question, len(fresh))
    return tuple(problems)


def _pods_not_scraped(question: Question, scraped: int) -> list[Problem]:
    if scraped >= question.canary_pods:
        return []
    said = f"{scraped} of {question.canary_pods} pods of {_names(question)} report requests to Prometheus"
    return [Problem("PodNotScraped", f"{said}: the others are not scraped, or have had no request yet")]


def _history_problems(lost: bool) -> list[Problem]:
    said = "series are new to Prometheus that may be old ones, as after a loss of its data: what they show first is not counted"
    return [Problem("HistoryLost", said)] if lost else []


def _latency_problems(question: Question, pieces: Iterable[_Piece]) -> list[Problem]:
    asked = [piece.canary for piece in pieces if piece.canary.total > 0.0]
    if not asked or any(version.measured for version in asked):
        return []
    around = enclosing(question.latency_threshold, question.edges)
    wanted = " or ".join(f"{edge:g} ms" for edge in sorted({edge for edge in (around.below, around.above) if edge is not None}))
    return [Problem("NoLatencyBucket", f"the duration histogram of {_names(question)} lacks the edge {wanted}: latency cannot be judged")]


def _count_request(question: Question, sample: Sample, piece: _Piece) -> None:
    code, status = _label(sample, "response_code"), sample.labels.get("grpc_response_status", "")
    bad = code.startswith("5") or status in _BAD_GRPC
    if "destination_service" in sample.labels:
        if bad and _reached_no_pod(question, sample):
            piece.unattributed += sample.value
        return
    version = _version(question, sample, piece)
    version.total += sample.value
    if bad:
        version.errors += sample.value
    elif code == _CLIENT_GONE:
        version.aborted += sample.value
    version.born += sample.value if _BORN in sample.labels else 0.0


def _count_duration(question: Question, sample: Sample, piece: _Piece) -> None:
    try:
        edge = float(_label(sample, "le"))
    except ValueError:
        raise errors.invalid("it has a bucket without an edge") from None
    _version(question, sample, piece).buckets[_label(sample, "destination_workload")][edge] += sample.value


def _reached_no_pod(question: Question, sample: Sample) -> bool:
    host = _label(sample, "destination_service").partition(":")[0]
    if host == question.service and sample.labels.get("source_workload_namespace") != question.namespace:
        return False
    flags = sample.labels.get("response_flags", "")
    return not flags or not _NO_POD.isdisjoint(flags.split(","))


def _version(question: Question, sample: Sample, piece: _Piece) -> _Version:
    workload = _label(sample, "destination_workload")
    if workload in question.canary_workloads:
        return piece.canary
    if workload in question.stable_workloads:
        return piece.stable
    raise errors.invalid("it has a workload that was not asked for")


def _reporter(sample: Sample) -> Reporter:
    try:
        return Reporter(_label(sample, "reporter"))
    except ValueError:
        raise errors.invalid("it has a reporter that was not asked for") from None


def _label(sample: Sample, name: str) -> str:
    try:
        return sample.labels[name]
    except KeyError:
        raise errors.invalid(f"a series lacks the label {name}") from None


def _names(question: Question) -> str:
    return ", ".join(question.canary_workloads) or "the canary"
