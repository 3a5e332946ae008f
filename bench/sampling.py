"""Watching a rollout from outside: what Prometheus shows, what the VirtualService says, and when."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from arena import Arena

T = TypeVar("T")


@dataclass(frozen=True)
class Seen:
    """A value and the time (seconds since the epoch) at which it was first seen."""

    at: float
    value: float


class Sampler(threading.Thread):
    """Reads a number again and again; keeps each change with its time."""

    def __init__(self, read: Callable[[], float], interval: float) -> None:
        super().__init__(daemon=True)
        self._read = read
        self._interval = interval
        self._done = threading.Event()
        self.changes: list[Seen] = []

    def run(self) -> None:
        while not self._done.wait(self._interval):
            value = self._read()
            if not self.changes or self.changes[-1].value != value:
                self.changes.append(Seen(time.time(), value))

    def stop(self) -> "Sampler":
        """End the thread."""
        self._done.set()
        self.join()
        return self

    def first(self, holds: Callable[[float], bool], after: float = 0.0) -> float:
        """Time of the first change at or after `after` whose value satisfies `holds`."""
        return next(seen.at for seen in self.changes if seen.at >= after and holds(seen.value))


def failed_requests(place: Arena, version: str) -> Callable[[], float]:
    """Failed requests to a version, as Prometheus shows them now."""
    selector = f'reporter="source",destination_workload="reviews-{version}",destination_workload_namespace="{place.namespace}"'
    query = f'sum(istio_requests_total{{{selector},response_code=~"5.."}})'

    def read() -> float:
        result = place.mesh.query(query)
        return float(result[0]["value"][1]) if result else 0.0

    return read


def weight_of(place: Arena, version: str) -> Callable[[], float]:
    """Weight of a version in the VirtualService."""
    return lambda: float(place.split().get(version, 0))
