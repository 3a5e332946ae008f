"""Asks custom metrics, apart from Istio's own: what goes wrong with them must neither void nor delay those."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from canaryrollout.core.snapshot import CustomMetricQuery, CustomSlice, Problem
from canaryrollout.metrics import answers, errors, placeholders
from canaryrollout.metrics.answers import Sample
from canaryrollout.metrics.errors import PrometheusError
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.metrics.provider import Question

_ROUNDING = 1e-9
"""By so much bad may exceed total, relatively: both are sums of floats."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the custom metrics said, and what is wrong with them."""

    slices: tuple[CustomSlice, ...] = ()
    problems: tuple[Problem, ...] = ()


class _Unusable(Exception):
    """One slice of a metric has no usable number."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class CustomMetrics:
    """At most half of the queries under way at once are custom ones, of all rollouts together."""

    def __init__(self, client: PrometheusClient, patience: float) -> None:
        """`patience` is in seconds: what one metric may take, so that it never holds Istio's own counts up for long."""
        self._client = client
        self._patience = patience
        self._free = asyncio.Semaphore(max(1, client.concurrency // 2))

    async def ask(self, question: Question, ends: range) -> Asked:
        """Each metric in each slice, within the patience. Never raises for what Prometheus does."""
        if not ends or not question.metrics:
            return Asked()
        found = await asyncio.gather(*(self._ask(question, metric, ends) for metric in question.metrics))
        return Asked(tuple(piece for one in found for piece in one.slices), tuple(problem for one in found for problem in one.problems))

    async def _ask(self, question: Question, metric: CustomMetricQuery, ends: range) -> Asked:
        seconds = min(self._client.timeout, self._patience)
        try:
            async with asyncio.timeout(seconds):
                if metric.value:
                    return read_value(metric, ends, await self._numbers(metric.value, question, ends))
                return read_ratio(metric, ends, *await self._both(metric, question, ends))
        except placeholders.MissingValue as missing:
            return Asked(problems=(_no_data(metric, str(missing)),))
        except PrometheusError as error:
            return Asked(problems=(_failed(metric, error.message),))
        except TimeoutError:
            return Asked(problems=(_failed(metric, errors.timed_out(seconds).message),))

    async def _both(self, metric: CustomMetricQuery, question: Question, ends: range) -> list[tuple[Sample, ...]]:
        asked = (self._numbers(query, question, ends) for query in (metric.bad, metric.total))
        found = await asyncio.gather(*asked, return_exceptions=True)  # so that none is left running when one fails
        for answer in found:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in found if not isinstance(answer, BaseException)]

    async def _numbers(self, query: str, question: Question, ends: range) -> tuple[Sample, ...]:
        filled = placeholders.fill(query, question, ends.step)
        async with self._free:
            return await self._client.numbers(filled, ends)


def read_ratio(metric: CustomMetricQuery, ends: range, bad: Iterable[Sample], total: Iterable[Sample]) -> Asked:
    """Bad of total in each slice, each summed over its series; slices without usable numbers are left out, with a problem."""
    bads, totals = _by_time(bad), _by_time(total)

    def read(start: float, end: int) -> CustomSlice:
        wrong, every = _count(metric, "bad", bads[end]), _count(metric, "total", totals[end])
        if wrong > every * (1.0 + _ROUNDING):
            raise _Unusable(_invalid(metric, f"bad ({wrong:g}) is more than total ({every:g})"))
        return CustomSlice(metric.name, start, end / 1000.0, bad=min(wrong, every), total=every)

    return _read(ends, read)


def read_value(metric: CustomMetricQuery, ends: range, values: Iterable[Sample]) -> Asked:
    """The value at the end of each slice; slices without exactly one finite number are left out, with a problem."""
    found = _by_time(values)

    def read(start: float, end: int) -> CustomSlice:
        samples = found[end]
        if not samples:
            raise _Unusable(_no_data(metric, "its value has no series"))
        if len(samples) > 1:
            raise _Unusable(_invalid(metric, f"its value has {len(samples)} series: aggregate them to one"))
        if not math.isfinite(samples[0]):
            raise _Unusable(_invalid(metric, "its value is not a finite number"))
        return CustomSlice(metric.name, start, end / 1000.0, value=samples[0])

    return _read(ends, read)


def _read(ends: range, read: Callable[[float, int], CustomSlice]) -> Asked:
    pieces, problems = [], []
    for end in ends:
        try:
            pieces.append(read((end - ends.step) / 1000.0, end))
        except _Unusable as unusable:
            problems.append(unusable.problem)
    return Asked(tuple(pieces), tuple(problems[-1:]))  # the latest says enough


def _by_time(samples: Iterable[Sample]) -> dict[int, list[float]]:
    found = defaultdict(list)
    for sample in samples:
        found[sample.time].append(sample.value)
    return found


def _count(metric: CustomMetricQuery, what: str, samples: list[float]) -> float:
    if not samples:
        raise _Unusable(_no_data(metric, f"{what} has no series; where none means 0, add `or vector(0)` to its sum"))
    if any(not math.isfinite(value) for value in samples):
        raise _Unusable(_invalid(metric, f"{what} is not a finite number"))
    if any(value < 0.0 for value in samples):
        raise _Unusable(_invalid(metric, f"{what} is negative"))
    count = sum(samples)
    if count > answers.MOST:
        raise _Unusable(_invalid(metric, f"{what} is beyond any count"))
    return count


def _no_data(metric: CustomMetricQuery, what: str) -> Problem:
    return Problem("CustomMetricNoData", f"metric {metric.name!r} has no data: {what}")


def _invalid(metric: CustomMetricQuery, what: str) -> Problem:
    return Problem("CustomMetricInvalid", f"metric {metric.name!r} cannot be used: {what}")


def _failed(metric: CustomMetricQuery, what: str) -> Problem:
    return Problem("CustomMetricFailed", f"metric {metric.name!r} could not be asked: {what}")
