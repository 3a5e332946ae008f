"""Strict reading of query results: every number is finite, not negative, and at a time that was asked for."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from canaryrollout.metrics import errors

MOST = 2.0**53
"""Counts above this are no longer exact in a float, and no counter of requests gets there."""


_LATEST = 1e11
"""Seconds since the epoch: some 3,000 years."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One number at one time (milliseconds, Prometheus time)."""

    time: int
    labels: Mapping[str, str]
    value: float


def scalar(result: Any) -> float:
    """The number of a scalar result, [time, "number"]. Raises PrometheusError."""
    return _point(result)[1]


def vector(result: Any, time: int) -> tuple[Sample, ...]:
    """The samples of an instant vector, all of which must be at `time`. Raises PrometheusError."""
    return tuple(_samples(result, "value", {time}))


def matrix(result: Any, times: Collection[int]) -> tuple[Sample, ...]:
    """The samples of a range result, all of which must be at one of `times`. Raises PrometheusError.

    A front end that aligns ranges to its cache would move the slices and make us count twice.
    """
    return tuple(_samples(result, "values", times))


def numbers(result: Any, times: Collection[int]) -> tuple[Sample, ...]:
    """As matrix(), of a query that we have not written: any number, also one that is not finite. Raises PrometheusError."""
    return tuple(_samples(result, "values", times, counts=False))


def _samples(result: Any, key: str, times: Collection[int], *, counts: bool = True) -> Iterable[Sample]:
    for series in result:
        if not isinstance(series, dict) or key not in series:
            raise errors.invalid("a result is of another type than was asked for")
        labels = series.get("metric")
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise errors.invalid("a series has no labels")
        points = series[key] if key == "values" else [series[key]]
        if not isinstance(points, list):
            raise errors.invalid("a series has no points")
        for point in points:
            time, value = _point(point, counts=counts)
            if time not in times:
                raise errors.invalid("a sample is not at the time that was asked for")
            yield Sample(time, labels, value)


def _point(point: Any, *, counts: bool = True) -> tuple[int, float]:
    if not isinstance(point, list) or len(point) != 2:
        raise errors.invalid("a sample is not a pair of time and number")
    time, text = point
    if isinstance(time, bool) or not isinstance(time, int | float) or not isinstance(text, str):
        raise errors.invalid("a sample is not a pair of time and number")
    try:
        value = float(text)
    except ValueError:
        raise errors.invalid("a sample is not a number") from None
    if not 0 <= time < _LATEST or (counts and not 0.0 <= value <= MOST):
        raise errors.invalid("a sample is negative, not finite or beyond any count")
    return round(time * 1000), value
