"""Simulated traffic as a replay's source of counts."""

from random import Random

from canaryrollout.api.evidence import Baseline, ReporterBaseline
from canaryrollout.core.snapshot import Slice
from canaryrollout.simulate.draws import poisson
from canaryrollout.simulate.replay import Shell
from canaryrollout.simulate.traffic import Stream, Traffic

BASELINE_SECONDS = 3600.0
EDGES = (0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)
"""Of the duration histogram, in milliseconds."""


class SimulatedSource:
    """A Stream, with an hour of stable before it."""

    def __init__(self, traffic: Traffic, rng: Random, start: float, shell: Shell) -> None:
        self.traffic = traffic
        self.stream = Stream(traffic, rng, start)
        self._rng = rng
        self._shell = shell

    def set_weight(self, weight: int) -> None:
        """See replay.Source."""
        self.stream.set_weight(weight)

    def run_to(self, time: float) -> None:
        """See replay.Source."""
        self.stream.run_to(time)

    def slices(self, start: float, length: float, count: int) -> tuple[Slice, ...]:
        """See replay.Source."""
        return self.stream.slices(start, length, count)

    def baseline(self) -> Baseline:
        """The hour before the rollout, counted in pieces of one scrape: what the two reporters saw differs by nothing then."""
        traffic, rng = self.traffic, self._rng
        length = max(traffic.scrape_interval, 1.0)
        pieces = [self._piece(rng, traffic.rps * length) for _ in range(int(BASELINE_SECONDS // length))]
        requests, errors, slow = (float(sum(column)) for column in zip(*pieces, strict=True))
        seen = ReporterBaseline(
            requests=requests,
            errors=errors,
            timed=requests,
            not_fast=slow,
            error_burst=overdispersion([(bad, total) for total, bad, _ in pieces]),
            slow_burst=overdispersion([(bad, total) for total, _, bad in pieces]),
        )
        return Baseline(seconds=BASELINE_SECONDS, scrape_interval=traffic.scrape_interval, edges=EDGES, source=seen, destination=seen)

    def _piece(self, rng: Random, mean: float) -> tuple[int, int, int]:
        """Requests, errors and slow answers of stable in one piece."""
        share, slow = self.traffic.stable_errors, self.traffic.stable_slow
        errors = self.traffic.burst * poisson(rng, mean * share / self.traffic.burst)
        late = poisson(rng, mean * (1.0 - share) * slow)
        return errors + late + poisson(rng, mean * (1.0 - share) * (1.0 - slow)), errors, late


def overdispersion(pieces: list[tuple[int, int]]) -> float:
    """Pearson's chi squared per degree of freedom of (bad, total) counts; 1 where there is nothing to measure."""
    kept = [(bad, total) for bad, total in pieces if total > 0]
    bad = sum(bad for bad, _ in kept)
    total = sum(total for _, total in kept)
    if len(kept) < 2 or not 0 < bad < total:
        return 1.0
    rate = bad / total
    chi = sum((x - n * rate) ** 2 / (n * rate * (1.0 - rate)) for x, n in kept)
    return chi / (len(kept) - 1)
