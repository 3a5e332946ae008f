"""Simulated traffic as a replay's source of counts."""

from random import Random

from canaryrollout.api.evidence import Baseline, ReporterBaseline
from canaryrollout.core.snapshot import Slice
from canaryrollout.metrics import baseline, edges
from canaryrollout.simulate.draws import poisson
from canaryrollout.simulate.replay import Shell
from canaryrollout.simulate.traffic import Stream, Traffic


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
        traffic, rng, seconds = self.traffic, self._rng, baseline.SPAN_MS / 1000.0
        length = max(traffic.scrape_interval, baseline.SLICE_MS / 1000.0)
        pieces = [self._piece(rng, traffic.rps * length) for _ in range(int(seconds // length))]
        requests, errors, slow = (float(sum(column)) for column in zip(*pieces, strict=True))
        seen = ReporterBaseline(
            requests=requests,
            errors=errors,
            timed=requests,
            not_fast=slow,
            error_burst=baseline.burst([(total, bad) for total, bad, _ in pieces]),
            slow_burst=baseline.burst([(total, bad) for total, _, bad in pieces]),
        )
        return Baseline(seconds=seconds, scrape_interval=traffic.scrape_interval, edges=edges.DEFAULT, source=seen, destination=seen)

    def _piece(self, rng: Random, mean: float) -> tuple[int, int, int]:
        """Requests, errors and slow answers of stable in one piece."""
        share, slow = self.traffic.stable_errors, self.traffic.stable_slow
        errors = self.traffic.burst * poisson(rng, mean * share / self.traffic.burst)
        late = poisson(rng, mean * (1.0 - share) * slow)
        return errors + late + poisson(rng, mean * (1.0 - share) * (1.0 - slow)), errors, late
