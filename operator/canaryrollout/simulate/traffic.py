"""Simulated traffic of a service, and what a provider would count of it.

Requests are independent Poisson streams between each caller's proxy and each pod. A proxy's counters become visible when
it is scraped, so that one slice holds what happened since that pod's last scrape: slices without a scrape are empty.
"""

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from canaryrollout.core.snapshot import Counts, Reporter, Slice
from canaryrollout.simulate.draws import binomial, poisson

Version = Literal["canary", "stable"]
VERSIONS: tuple[Version, Version] = ("canary", "stable")
CLUMP_SECONDS = 1.0
"""Over which the errors of one clump are spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How the service is called and how it answers. Rates are requests per second, shares are fractions."""

    rps: float = 50.0
    """Of both versions together."""
    canary_errors: float = 0.0
    """Share of the canary's requests that fail, once its fault is there; stable's share before."""
    stable_errors: float = 0.0
    canary_slow: float = 0.0
    """Share of the answered requests that are slower than the limit; stable's share before the fault."""
    stable_slow: float = 0.0
    burst: int = 1
    """Errors come in clumps of so many, each at one pod within about a second."""
    fault_from_weight: int = 0
    """The canary is as healthy as stable below this weight."""
    fault_after: float = 0.0
    """The canary is as healthy as stable for so many seconds after it got its first request."""
    shared_errors: float = 0.0
    """Share of both versions' requests that fail besides, from `shared_after` on: a common dependency."""
    shared_after: float = 0.0
    scrape_interval: float = 15.0
    pods: int = 2
    """Of each version, each scraped at a phase of its own."""
    callers: int = 2
    """Proxies that report as source."""

    def errors(self, version: Version, *, faulty: bool, shared: bool) -> float:
        """The share of a version's requests that fail."""
        own = self.canary_errors if version == "canary" and faulty else self.stable_errors
        return min(own + (self.shared_errors if shared else 0.0), 1.0)

    def slow(self, version: Version, *, faulty: bool) -> float:
        """The share of a version's answers that are slow."""
        return self.canary_slow if version == "canary" and faulty else self.stable_slow


@dataclass(slots=True)
class _Counter:
    """What a proxy has counted of one version since it was last scraped."""

    total: int = 0
    errors: int = 0
    slow: int = 0

    def take(self) -> "_Counter":
        """What there is, leaving none."""
        taken = _Counter(self.total, self.errors, self.slow)
        self.total = self.errors = self.slow = 0
        return taken

    def add(self, other: "_Counter") -> None:
        """Count more."""
        self.total += other.total
        self.errors += other.errors
        self.slow += other.slow


@dataclass(slots=True)
class _Cell:
    """The stream from one caller to one pod, drawn up to `drawn`."""

    version: Version
    pod: _Counter
    caller: _Counter
    drawn: float
    good: float = 0.0
    slow: float = 0.0
    clumps: float = 0.0
    """Per second."""


@dataclass(slots=True)
class _Target:
    """One proxy that is scraped: its counters, by reporter and version, and the streams that feed them."""

    reporter: Reporter
    counters: dict[Version, _Counter]
    cells: list[_Cell] = field(default_factory=list)


@dataclass(slots=True)
class Served:
    """What the callers really got from a version, whether scraped yet or not."""

    total: int = 0
    errors: int = 0
    slow: int = 0


class Stream:
    """One run of the traffic, seconds since `start`. Time only moves forward."""

    def __init__(self, traffic: Traffic, rng: Random, start: float) -> None:
        self.traffic = traffic
        self.now = start
        self.served: dict[Version, Served] = {version: Served() for version in VERSIONS}
        self.fault_since: float | None = None
        """When the canary's fault first met a request, or could have."""
        self._rng = rng
        self._weight = 0
        self._first_weight: float | None = None
        self._shared = False
        self._start = start
        self._late: list[tuple[float, _Cell, int]] = []
        self._visible: dict[Reporter, list[tuple[float, Version, _Counter]]] = defaultdict(list)
        self._targets, self._cells = self._topology(start)
        self._scrapes = [(start + rng.random() * traffic.scrape_interval, index) for index in range(len(self._targets))]
        heapq.heapify(self._scrapes)
        self._changes = [start + traffic.shared_after] if traffic.shared_errors > 0.0 else []
        self._set_rates()

    def _topology(self, start: float) -> tuple[list[_Target], list[_Cell]]:
        callers = [_Target(Reporter.SOURCE, {v: _Counter() for v in VERSIONS}) for _ in range(self.traffic.callers)]
        pods = [_Target(Reporter.DESTINATION, {version: _Counter()}) for version in VERSIONS for _ in range(self.traffic.pods)]
        cells = []
        for pod in pods:
            ((version, counter),) = pod.counters.items()
            for caller in callers:
                cell = _Cell(version, counter, caller.counters[version], start)
                cells.append(cell)
                pod.cells.append(cell)
                caller.cells.append(cell)
        return [*callers, *pods], cells

    def set_weight(self, weight: int) -> None:
        """The proxies serve a new weight from now on."""
        if weight == self._weight:
            return
        self.draw_all()
        self._weight = weight
        if weight > 0 and self._first_weight is None:
            self._first_weight = self.now
            if self.traffic.fault_after > 0.0:
                self._changes.append(self.now + self.traffic.fault_after)
                self._changes.sort()
        self._set_rates()

    def run_to(self, time: float) -> None:
        """Let requests and scrapes happen up to `time`."""
        while True:
            scrape = self._scrapes[0][0]
            change = self._changes[0] if self._changes else time
            upcoming = min(scrape, change)
            if upcoming >= time:
                break
            self.now = upcoming
            if scrape <= change:
                self._scrape(self._scrapes[0][1])
                heapq.heapreplace(self._scrapes, (scrape + self.traffic.scrape_interval, self._scrapes[0][1]))
            else:
                self._changes.pop(0)
                self.draw_all()
                self._set_rates()
        self.now = max(self.now, time)

    def slices(self, start: float, length: float, count: int) -> tuple[Slice, ...]:
        """What became visible in `count` slices of `length` seconds from `start` on, both reporters. Earlier counts are dropped."""
        found: dict[tuple[int, Reporter], dict[Version, _Counter]] = {
            (index, reporter): {version: _Counter() for version in VERSIONS} for index in range(count) for reporter in Reporter
        }
        for reporter, seen in self._visible.items():
            kept = []
            for time, version, counter in seen:
                index = -int((start - time) // length) - 1  # a slice is (start, end]
                if index >= count:
                    kept.append((time, version, counter))
                elif index >= 0:
                    found[index, reporter][version].add(counter)
            seen[:] = kept
        return tuple(
            Slice(start + index * length, start + (index + 1) * length, reporter, _counts(by["canary"]), _counts(by["stable"]))
            for (index, reporter), by in found.items()
        )

    def draw_all(self) -> None:
        """Draw every stream up to now, so that `served` is complete."""
        for cell in self._cells:
            self._draw(cell)

    def _scrape(self, index: int) -> None:
        target = self._targets[index]
        for cell in target.cells:
            self._draw(cell)
        seen = self._visible[target.reporter]
        for version, counter in target.counters.items():
            if counter.total:
                seen.append((self.now, version, counter.take()))

    def _set_rates(self) -> None:
        """The streams' rates by the present weight and faults."""
        traffic, pairs = self.traffic, self.traffic.pods * self.traffic.callers
        reached = self._weight > 0 and self._weight >= traffic.fault_from_weight
        after = self._first_weight is not None and self.now >= self._first_weight + traffic.fault_after
        shared = traffic.shared_errors > 0.0 and self.now >= self._start + traffic.shared_after
        if reached and after and self.fault_since is None:
            self.fault_since = self.now
        faulty = self.fault_since is not None
        for cell in self._cells:
            share = self._weight / 100.0 if cell.version == "canary" else 1.0 - self._weight / 100.0
            rate = traffic.rps * share / pairs
            errors = traffic.errors(cell.version, faulty=faulty, shared=shared)
            slow = traffic.slow(cell.version, faulty=faulty)
            cell.good = rate * (1.0 - errors) * (1.0 - slow)
            cell.slow = rate * (1.0 - errors) * slow
            cell.clumps = rate * errors / traffic.burst

    def _draw(self, cell: _Cell) -> None:
        seconds = self.now - cell.drawn
        if seconds <= 0.0:
            return
        rng = self._rng
        good = poisson(rng, cell.good * seconds)
        slow = poisson(rng, cell.slow * seconds)
        clumps = poisson(rng, cell.clumps * seconds)
        errors = clumps if self.traffic.burst == 1 else self._clumped(cell, clumps)
        cell.drawn = self.now
        total = good + slow + errors
        if not total:
            return
        served = self.served[cell.version]
        for counter in (cell.pod, cell.caller, served):
            counter.total += total
            counter.errors += errors
            counter.slow += slow

    def _clumped(self, cell: _Cell, clumps: int) -> int:
        """Errors of new clumps, and the rest of those that had begun before."""
        started = [(self.now - (self.now - cell.drawn) * self._rng.random(), self.traffic.burst) for _ in range(clumps)]
        if self._late:
            started += [(begun, left) for begun, of, left in self._late if of is cell]
            self._late = [entry for entry in self._late if entry[1] is not cell]
        errors = 0
        for begun, left in started:
            gone = max(cell.drawn, begun)
            share = (self.now - gone) / (begun + CLUMP_SECONDS - gone)
            now = binomial(self._rng, left, share)
            errors += now
            if now < left:
                self._late.append((begun, cell, left - now))
        return errors


def _counts(counter: _Counter) -> Counts:
    return Counts(
        total=float(counter.total),
        errors=float(counter.errors),
        slow=float(counter.slow),
        timed=float(counter.total),
        not_fast=float(counter.slow),
    )
