"""Counts requests by Istio's standard metrics in Prometheus."""

import asyncio
import math
from dataclasses import dataclass

from canaryrollout.api.evidence import Baseline
from canaryrollout.core import slicing
from canaryrollout.core.snapshot import Poll, PollFailure, Problem, Reporter
from canaryrollout.metrics import baseline, errors, queries, slices
from canaryrollout.metrics.answers import Sample
from canaryrollout.metrics.clock import PrometheusClock
from canaryrollout.metrics.custom_slices import CustomMetrics
from canaryrollout.metrics.errors import PrometheusError
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.metrics.provider import Question
from canaryrollout.metrics.queries import SCRAPE_LABELS

_BASELINE_TRIES = 3
"""Then a rollout begins without knowing what was before: rather with a weaker bound than with no rollback armed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How Prometheus gets its samples. Seconds."""

    slice_length: float = 5.0
    """How much time one slice covers: the interval between two polls."""
    scrape_interval: float = 15.0
    """As configured; what a baseline has measured counts before it."""
    ingestion_delay: float = 0.5
    """A scrape becomes visible when it is done, under the time of its start; a slice that reaches so far would miss it for ever.

    Above the usual duration of a scrape; nothing at all is missed where it is above the scrape time-out.
    """
    scrape_labels: tuple[str, ...] = SCRAPE_LABELS

    def oldest(self, measured: float | None) -> float:
        """The age above which a sample is stale: one scrape may fail, or be late."""
        return 2.0 * (measured or self.scrape_interval) + 5.0


class IstioPrometheus:
    """A metrics.provider.MetricsProvider: three queries a poll, one more where series are new, and one a minute for the time; more for
    custom metrics.

    Slices end on the grid cursor + i x slice length. A counter's growth since its last sample before a slice belongs to the
    slice that holds the sample, so that nothing is lost or counted twice however late, often or seldom it is polled.
    """

    def __init__(self, client: PrometheusClient, sampling: Sampling) -> None:
        self._client = client
        self._sampling = sampling
        self._clock = PrometheusClock(client)
        self._custom = CustomMetrics(client, sampling.slice_length)
        self._failures: dict[tuple[str, str], int] = {}
        """How often the history of a service could not be got, by namespace and service."""

    async def poll(self, question: Question, cursor: float | None) -> Poll | PollFailure:
        """See MetricsProvider. The time, the counts and what follows from them take at most the endpoint's time-out each."""
        if not question.canary_workloads and not question.stable_workloads:
            return PollFailure(Problem("NoWorkloads", "the service has no pods whose requests could be counted"))
        try:
            now = await self._clock.now()
            return await (self._begin(question, now) if cursor is None else self._count(question, round(cursor * 1000.0), now))
        except PrometheusError as error:
            return PollFailure(error.problem)

    def _visible(self, now: int) -> int:
        """Up to when all scrapes can be seen."""
        return now - round(self._sampling.ingestion_delay * 1000.0)

    async def _begin(self, question: Question, now: int) -> Poll:
        """The first poll of a rollout. Its hour of history may be more than this Prometheus can give: we ask a few times only."""
        end = self._visible(now)
        latest = range(end, end + 1)
        deadline = asyncio.get_running_loop().time() + self._client.timeout
        failures = self._failures.pop((question.namespace, question.service), 0)
        known, interval, freshness = await self._evaluate(
            (queries.known_edges(question), latest),
            (queries.scrape_interval(question), latest),
            (queries.build(question, baseline.SLICE_MS, self._sampling.scrape_labels).freshness, latest),
            deadline=deadline,
        )
        problems = slices.read_freshness(question, end, freshness, self._sampling.oldest(question.scrape_interval))
        stable = baseline.of_stable(question, known)
        try:
            before = await self._look_back(stable, end, known, interval, deadline)
        except PrometheusError:
            if failures + 1 < _BASELINE_TRIES:
                self._failures[question.namespace, question.service] = failures + 1
                raise
            before = Baseline(edges=stable.edges)
        return Poll(time=end / 1000.0, now=now / 1000.0, baseline=before, problems=problems)

    async def _look_back(
        self, stable: Question, end: int, known: tuple[Sample, ...], interval: tuple[Sample, ...], deadline: float
    ) -> Baseline:
        asked = queries.build(stable, baseline.SLICE_MS, self._sampling.scrape_labels)
        hour = baseline.times(end)
        requests, durations = await self._evaluate((asked.requests, hour), (asked.durations, hour), deadline=deadline)
        return baseline.read(stable, end, baseline.Answers(requests, durations, known, interval))

    async def _count(self, question: Question, cursor: int, now: int) -> Poll | PollFailure:
        if now < cursor:
            return PollFailure(
                Problem("ClockBehind", f"Prometheus's clock is {(cursor - now) / 1000.0:.1f} s before what is counted already")
            )
        length, visible = round(self._sampling.slice_length * 1000.0), self._visible(now)
        boundary = None if question.boundary is None else round(question.boundary * 1000.0)
        stretches = slicing.stretches(cursor, visible, length, boundary)
        polls = [await self._stretch(question, ends) for ends in stretches]
        freshness = queries.build(question, length, self._sampling.scrape_labels).freshness
        (samples,) = await self._evaluate((freshness, range(visible, visible + 1)))
        fresh = slices.read_freshness(question, visible, samples, self._sampling.oldest(question.scrape_interval))
        time = stretches[-1][-1] if stretches else cursor
        problems = [problem for poll in polls for problem in poll.problems]
        return Poll(
            time=time / 1000.0,
            now=now / 1000.0,
            slices=tuple(piece for poll in polls for piece in poll.slices),
            problems=(*dict.fromkeys(problems), *fresh),
            custom=tuple(piece for poll in polls for piece in poll.custom),
        )

    async def _stretch(self, question: Question, ends: range) -> Poll:
        """The slices of one length that end at `ends`."""
        length = ends.step
        asked = queries.build(question, length, self._sampling.scrape_labels)
        custom = asyncio.create_task(self._custom.ask(question, ends))
        try:
            requests, durations = await self._evaluate((asked.requests, ends), (asked.durations, ends))
            own = await custom
        finally:
            custom.cancel()
        history = await self._history(question, ends, slices.newborn((*requests, *durations)))
        counted, problems = slices.read_slices(question, length, requests, durations, history)
        return Poll(ends[-1] / 1000.0, counted, (*problems, *own.problems), custom=own.slices)

    async def _history(self, question: Question, ends: range, newborn: frozenset[tuple[int, Reporter]]) -> slices.History:
        """Whether there was a past where series were born.

        Nothing is said where stable is too young for one, or only the other reporter has one: this one's proxies may be new.
        """
        settle = round(self._sampling.oldest(question.scrape_interval) * 1000.0)
        interval = round((question.scrape_interval or self._sampling.scrape_interval) * 1000.0)
        since = math.inf if question.known_since is None else question.known_since * 1000.0 + ends.step + settle
        doubtful = {(end, reporter) for end, reporter in newborn if end >= since}
        query = queries.known_before(question, ends.step, settle, interval)
        if not doubtful or query is None:
            return {}
        (samples,) = await self._evaluate((query, ends))
        known = {(sample.time, sample.labels.get("reporter")) for sample in samples}
        some = {time for time, _ in known}
        return {(end, of): (end, of.value) in known for end, of in doubtful if (end, of.value) in known or end not in some}

    async def _evaluate(self, *asked: tuple[str, range], deadline: float | None = None) -> list[tuple[Sample, ...]]:
        """The answers to all, at once. Raises PrometheusError where one fails, or is not there by the deadline (loop time)."""
        failure: Exception | None = None
        try:
            async with asyncio.timeout_at(deadline), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._client.evaluate(query, times)) for query, times in asked if times]
        except* PrometheusError as failed:
            failure = failed.exceptions[0]
        except* TimeoutError:
            failure = errors.timed_out(self._client.timeout)
        if failure is not None:
            raise failure
        answers = iter(tasks)
        return [next(answers).result() if times else () for _, times in asked]
