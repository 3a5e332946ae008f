"""Counts requests by Istio's standard metrics in Prometheus."""

import asyncio
import math
import time as clock
from dataclasses import dataclass

from canaryrollout.core.snapshot import Poll, PollFailure, Problem
from canaryrollout.metrics import queries, slices
from canaryrollout.metrics.errors import PrometheusError
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.metrics.provider import Question
from canaryrollout.metrics.queries import SCRAPE_LABELS

_LONGEST_SLICE_MS = 300_000
"""Far inside the 15 minutes for which a series' last value is looked up before a slice."""

_MOST_SLICES = 60
_CLOCK_VALID_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How Prometheus gets its samples. Seconds."""

    scrape_interval: float = 15.0
    ingestion_delay: float = 0.5
    """A scrape becomes visible when it is done, under the time of its start; a slice that reaches so far would miss it for ever.

    Above the usual duration of a scrape; nothing at all is missed where it is above the scrape time-out.
    """
    scrape_labels: tuple[str, ...] = SCRAPE_LABELS

    @property
    def oldest(self) -> float:
        """The age above which a sample is stale: one scrape may fail, or be late."""
        return 2.0 * self.scrape_interval + 5.0


class PrometheusClock:
    """Prometheus's time between two looks at it, by the local monotonic clock; never ahead of the real one."""

    def __init__(self, client: PrometheusClient) -> None:
        self._client = client
        self._prometheus = 0
        self._local = -math.inf
        self._asking: asyncio.Task[None] | None = None

    async def now(self) -> int:
        """Milliseconds. All who ask while one answer is awaited share it. Raises PrometheusError."""
        if clock.monotonic() - self._local > _CLOCK_VALID_SECONDS:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
        return self._prometheus + int((clock.monotonic() - self._local) * 1000.0)

    async def _ask(self) -> None:
        self._prometheus = await self._client.now()
        self._local = clock.monotonic()


class IstioPrometheus:
    """A metrics.provider.MetricsProvider: three queries a poll, and one more a minute for the time.

    After an outage the time since the cursor is divided into equal slices of at most five minutes (longer only after more
    than five hours), which the same number of queries brings, so that nothing is lost, counted twice or judged as one burst.
    """

    def __init__(self, client: PrometheusClient, sampling: Sampling) -> None:
        self._client = client
        self._sampling = sampling
        self._clock = PrometheusClock(client)

    async def poll(self, question: Question, cursor: float | None) -> Poll | PollFailure:
        """See MetricsProvider. A poll with a cursor takes at most twice the endpoint's time-out."""
        try:
            now = await self._clock.now() - round(self._sampling.ingestion_delay * 1000.0)
            if cursor is None:
                return Poll(time=now / 1000.0)
            return await self._count(question, round(cursor * 1000.0), now)
        except PrometheusError as error:
            return PollFailure(error.problem)

    async def _count(self, question: Question, cursor: int, now: int) -> Poll | PollFailure:
        if not question.canary_workloads and not question.stable_workloads:
            return PollFailure(Problem("NoWorkloads", "the service has no pods whose requests could be counted"))
        if now <= cursor:
            return PollFailure(
                Problem("ClockBehind", f"Prometheus's clock is {(cursor - now) / 1000.0:.1f} s before what is counted already")
            )
        ends = slice_ends(cursor, now)
        asked = queries.build(question, ends.step, self._sampling.scrape_labels)
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                requests = group.create_task(self._client.evaluate(asked.requests, ends))
                durations = group.create_task(self._client.evaluate(asked.durations, ends))
                freshness = group.create_task(self._client.evaluate(asked.freshness, ends[-1:]))
        except* PrometheusError as failed:
            failure = failed.exceptions[0]
        if failure is not None:
            raise failure
        counted, problems = slices.read_slices(question, ends.step, requests.result(), durations.result())
        problems += slices.read_freshness(question, ends[-1], freshness.result(), self._sampling.oldest)
        return Poll(time=ends[-1] / 1000.0, slices=counted, problems=problems)


def slice_ends(cursor: int, now: int) -> range:
    """The ends of equal slices from `cursor` to `now` or less than a slice's rounding before it; milliseconds."""
    count = min(math.ceil((now - cursor) / _LONGEST_SLICE_MS), _MOST_SLICES)
    length = (now - cursor) // count
    return range(cursor + length, cursor + count * length + 1, length)
