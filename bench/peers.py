"""The usual policies, on the same simulated traffic as our engine.

They are given more than they have in life: exact counts of the window (no lost first samples, no division by nothing), a
mesh that follows at once, and a query of the canary's pods alone.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from canaryrollout.core.snapshot import Reporter
from canaryrollout.simulate.many import Outcome, Run
from canaryrollout.simulate.replay import EPOCH
from canaryrollout.simulate.traffic import Stream, Traffic

LIMIT = 0.01
GRID = 5.0


class Canary:
    """A canary under a fixed-threshold policy: time, weight, and the error rate that a query over a window would show."""

    def __init__(self, traffic: Traffic, seed: str) -> None:
        self.stream = Stream(traffic, Random(seed), EPOCH)
        self.seed = seed
        self.steps: dict[int, float] = {}
        self._seen: deque[tuple[float, float, float]] = deque()
        self._read = EPOCH

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.stream.now - EPOCH

    def shift(self, weight: int) -> None:
        """Give the canary a weight."""
        self.steps[weight] = self.seconds
        self.stream.set_weight(weight)

    def wait(self, seconds: float) -> None:
        """Let a multiple of GRID pass."""
        self.stream.run_to(self.stream.now + seconds)
        count = round((self.stream.now - self._read) / GRID)
        for piece in self.stream.slices(self._read, GRID, count):
            if piece.reporter is Reporter.DESTINATION and piece.canary.total:
                self._seen.append((piece.end, piece.canary.errors, piece.canary.total))
        self._read += count * GRID

    def error_rate(self, window: float) -> float | None:
        """Failed of all requests that were scraped in the window; None: there were none."""
        while self._seen and self._seen[0][0] <= self.stream.now - window:
            self._seen.popleft()
        total = sum(total for _, _, total in self._seen)
        return sum(errors for _, errors, _ in self._seen) / total if total else None

    def ended(self, outcome: Outcome, weight: int, explanation: str = "") -> Run:
        """The result."""
        self.stream.draw_all()
        served, fault = self.stream.served["canary"], self.stream.fault_since
        starts = [*self.steps.values(), self.seconds]
        return Run(
            seed=self.seed,
            outcome=outcome,
            seconds=self.seconds,
            weight=weight,
            reason="",
            explanation=explanation,
            requests=served.total,
            failed=served.errors,
            since_fault=None if fault is None else self.stream.now - fault,
            steps=tuple((step, starts[index + 1] - starts[index]) for index, step in enumerate(self.steps)),
        )


Policy = Callable[[Traffic, tuple[int, ...], str], Run]
"""(traffic, weights, seed) to what became of it."""


def failed_checks(traffic: Traffic, weights: tuple[int, ...], seed: str) -> Run:
    """Every 30 s the last minute's error rate: at most 1 % goes to the next weight, the fifth check above it rolls back.

    As Flagger counts (analysis.interval, threshold): failures add up over the rollout, and no data is a failure.
    """
    canary = Canary(traffic, seed)
    failures = 0
    for weight in weights:
        canary.shift(weight)
        while True:
            canary.wait(30.0)
            rate = canary.error_rate(60.0)
            if rate is not None and rate <= LIMIT:
                break
            failures += 1
            if failures >= 5:
                return canary.ended("RolledBack", weight)
    return canary.ended("Promoted", weights[-1])


def one_check(traffic: Traffic, weights: tuple[int, ...], seed: str) -> Run:
    """At each weight wait 300 s, then look once at the error rate of the last 5 minutes."""
    canary = Canary(traffic, seed)
    for weight in weights:
        canary.shift(weight)
        canary.wait(300.0)
        rate = canary.error_rate(300.0)
        if rate is None or rate > LIMIT:
            return canary.ended("RolledBack", weight)
    return canary.ended("Promoted", weights[-1])


@dataclass(slots=True)
class _Measurements:
    """How a step's analysis stands. Limits are the most that is allowed, as in an AnalysisTemplate."""

    failed: int = 0
    inconclusive: int = 0
    consecutive_errors: int = 0

    def add(self, rate: float | None) -> Outcome | None:
        """failureLimit 2, inconclusiveLimit 2, consecutiveErrorLimit 4."""
        self.consecutive_errors = self.consecutive_errors + 1 if rate is None else 0
        if rate is not None and rate > 2.0 * LIMIT:
            self.failed += 1
        elif rate is not None and rate > LIMIT:
            self.inconclusive += 1
        if self.failed > 2 or self.consecutive_errors > 4:
            return "RolledBack"
        return "Paused" if self.inconclusive > 2 else None


def inconclusive_limits(traffic: Traffic, weights: tuple[int, ...], seed: str) -> Run:
    """At each weight five measurements of the last minute, 30 s apart: up to 1 % succeeds, above 2 % fails, between is neither.

    As Argo Rollouts counts: more than two failures abort, more than two inconclusive measurements pause.
    """
    canary = Canary(traffic, seed)
    for weight in weights:
        canary.shift(weight)
        measurements = _Measurements()
        for _ in range(5):
            canary.wait(30.0)
            ended = measurements.add(canary.error_rate(60.0))
            if ended is not None:
                return canary.ended(ended, weight)
    return canary.ended("Promoted", weights[-1])


def peers() -> Iterator[tuple[str, Policy]]:
    """In the order of the table."""
    yield "1 m window every 30 s, 5 failed checks", failed_checks
    yield "300 s wait, one 5 m check", one_check
    yield "5 measurements, inconclusive between 1 % and 2 %", inconclusive_limits
