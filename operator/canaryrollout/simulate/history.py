"""Deployments in a service's past, and what the new version's requests would have been at other weights."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from canaryrollout.api.evidence import Baseline
from canaryrollout.core.snapshot import Counts, Reporter, Slice
from canaryrollout.simulate.draws import binomial

QUIET_SECONDS = 3600.0
"""A version that got no requests for so long is new when it gets some."""

_HANDOVER_SECONDS = 900.0
"""So shortly before must another version have served, or there was nothing to fall back to."""

_SMOOTHING = 12
"""Slices on either side over which the versions' real shares are taken: pods are scraped at different times."""


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """What Istio calls a workload and the version label of its pods."""

    workload: str
    version: str

    @property
    def name(self) -> str:
        """Such as reviews-v2 (v2)."""
        return f"{self.workload} ({self.version})" if self.version not in ("", "unknown") else self.workload

    @property
    def joined(self) -> str:
        """As the queries name it."""
        return f"{self.workload}/{self.version}"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A release that began to get requests. Seconds since the epoch."""

    begun: float
    """End of the first span in which it had some."""
    ended: float
    """End of the last one."""
    canary: Release
    stable: Release


def find_deployments(presence: Mapping[Release, Sequence[tuple[float, float]]], since: float, step: float) -> list[Deployment]:
    """From (end of a span of `step` seconds, requests in it) of each release, in order of time.

    What was there from the beginning, or comes back within an hour, was not deployed then.
    """
    found = []
    for release, points in presence.items():
        busy = [time for time, requests in points if requests > 0.0]
        for index, time in enumerate(busy):
            before = busy[index - 1] if index else since
            if time - before >= QUIET_SECONDS:
                stable = _serving(presence, release, time, max(_HANDOVER_SECONDS, 2.0 * step))
                if stable is not None:
                    found.append(Deployment(time, _last_of(busy[index:], step), release, stable))
    return sorted(found, key=lambda deployment: (deployment.begun, deployment.canary))


def _last_of(busy: Sequence[float], step: float) -> float:
    last = busy[0]
    for time in busy[1:]:
        if time - last >= max(QUIET_SECONDS, 2.0 * step):
            break
        last = time
    return last


def _serving(presence: Mapping[Release, Sequence[tuple[float, float]]], canary: Release, time: float, span: float) -> Release | None:
    """The release that had most of the requests just before."""
    recent = {
        release: sum(requests for at, requests in points if time - span <= at < time)
        for release, points in presence.items()
        if release != canary
    }
    busiest = max(recent, key=lambda release: recent[release], default=None)
    return busiest if busiest is not None and recent[busiest] > 0.0 else None


@dataclass(frozen=True, slots=True)
class Past:
    """Counts on a grid: slice i is (start + i x length, start + (i + 1) x length]."""

    start: float
    length: float
    slices: Mapping[tuple[int, Reporter], Slice]
    baseline: Baseline
    count: int

    def counts(self, index: int, reporter: Reporter) -> tuple[Counts, Counts]:
        """(canary, stable)."""
        piece = self.slices.get((index, reporter))
        return (piece.canary, piece.stable) if piece is not None else (Counts(), Counts())

    def index(self, time: float) -> int:
        """The slice that begins at a time."""
        return min(max(round((time - self.start) / self.length), 0), self.count)

    def failed(self, first: int, last: int) -> float:
        """The canary's failed requests in slices first … last - 1, by the reporter that saw more requests."""
        seen = [[self.counts(index, reporter)[0] for index in range(first, last)] for reporter in Reporter]
        most = max(seen, key=lambda counts: sum(piece.total for piece in counts))
        return sum(piece.errors for piece in most)


class HistorySource:
    """A replay's source of counts: real ones, thinned to the share that the replayed weights would have sent."""

    def __init__(self, past: Past, rng: Random, begin: float) -> None:
        self.past = past
        self.failed: dict[Reporter, float] = dict.fromkeys(Reporter, 0.0)
        """Of the canary's requests that the replayed weights would have sent."""
        self._rng = rng
        self._weights: list[tuple[float, int]] = [(begin, 0)]
        self._now = begin
        self._hour = round(QUIET_SECONDS / past.length)
        self._first = min((index for (index, _), piece in past.slices.items() if piece.canary.total > 0.0), default=0)

    def set_weight(self, weight: int) -> None:
        """See replay.Source."""
        self._weights.append((self._now, weight))

    def run_to(self, time: float) -> None:
        """See replay.Source."""
        self._now = time

    def baseline(self) -> Baseline:
        """See replay.Source."""
        return self.past.baseline

    def slices(self, start: float, length: float, count: int) -> tuple[Slice, ...]:
        """See replay.Source. What the past counted in a slice of its own belongs where that slice ends."""
        found = []
        for index in range(count):
            begin, end = start + index * length, start + (index + 1) * length
            weight, spans = self._weight_at(begin), range(self._ended(begin), self._ended(end))
            for reporter in Reporter:
                pairs = [self._thinned(span, reporter, weight) for span in spans]
                canary, stable = (_sum(counts) for counts in (zip(*pairs, strict=True) if pairs else ((), ())))
                found.append(Slice(begin, end, reporter, canary, stable))
                self.failed[reporter] += canary.errors
        return tuple(found)

    def _ended(self, time: float) -> int:
        """How many slices of the past have ended by then."""
        return math.floor((time - self.past.start) / self.past.length + 1e-6)

    def _weight_at(self, time: float) -> int:
        return next(weight for since, weight in reversed(self._weights) if since <= time or (since, weight) == self._weights[0])

    def _thinned(self, index: int, reporter: Reporter, weight: int) -> tuple[Counts, Counts]:
        canary, stable = self.past.counts(index, reporter)
        share = self._real_share(index, reporter)
        if self._gone(index, reporter):  # what it did an hour before stands for it
            stable, stable_share = self.past.counts(self._before(index), reporter)[1], 1.0
        else:
            stable_share = 1.0 - share
        wanted = weight / 100.0
        return self._thin(canary, wanted, share), self._thin(stable, 1.0 - wanted, stable_share)

    def _gone(self, index: int, reporter: Reporter) -> bool:
        """Whether stable had no requests any more."""
        return all(self.past.counts(near, reporter)[1].total <= 0.0 for near in range(index, index + _SMOOTHING + 1))

    def _before(self, index: int) -> int:
        """The slice at the same place of the hour before the deployment."""
        return index % self._hour

    def _real_share(self, index: int, reporter: Reporter) -> float:
        """What part of the requests the canary really had around a slice."""
        canary = stable = 0.0
        for near in range(max(index - _SMOOTHING, min(self._first, index)), index + _SMOOTHING + 1):
            one, other = self.past.counts(near, reporter)
            canary, stable = canary + one.total, stable + other.total
        return canary / (canary + stable) if canary + stable > 0.0 else 1.0

    def _thin(self, counts: Counts, wanted: float, real: float) -> Counts:
        """What is left of counts when only `wanted` of all requests had been sent instead of `real`; never more than there were."""
        kept = min(wanted / real, 1.0) if real > 0.0 else 0.0
        if kept >= 1.0 or counts.total + counts.timed <= 0.0:
            return counts
        parts = (
            counts.errors,
            counts.aborted,
            max(counts.total - counts.errors - counts.aborted, 0.0),
            counts.slow,
            max(counts.not_fast - counts.slow, 0.0),
            max(counts.timed - counts.not_fast, 0.0),
        )
        errors, aborted, good, slow, doubtful, fast = (float(binomial(self._rng, round(part), kept)) for part in parts)
        return Counts(
            total=errors + aborted + good,
            errors=errors,
            slow=slow,
            timed=slow + doubtful + fast,
            not_fast=slow + doubtful,
            aborted=aborted,
        )


def _sum(counts: Iterable[Counts]) -> Counts:
    columns = list(zip(*((c.total, c.errors, c.slow, c.timed, c.not_fast, c.aborted) for c in counts), strict=True))
    return Counts(*(sum(column) for column in columns))
