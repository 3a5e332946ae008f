"""What the canary must keep, and how sure a verdict must be: the spec's analysis in the terms of the formulas."""

import math
from dataclasses import dataclass
from functools import lru_cache

from canaryrollout.api.evidence import Baseline, ReporterBaseline
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.core.memory import Memory
from canaryrollout.core.snapshot import CustomMetricQuery, Reporter

ALPHA = 0.01
"""Chance of ever rolling back a canary that is within its limits, over the whole rollout."""

FRESH = 5.0
"""By how much a step before the last has to multiply the evidence for the canary anew; see docs/adr/0014-evidence.md."""

SLOW_SHARE = 0.01
"""Share of requests that may be slower than the latency limit: makes it a limit on the 99th percentile."""

SCRAPE_INTERVAL = 15.0
"""Seconds between two values of a series, where it could not be measured."""

_MOST_BURST = 20.0
_LEAST_ABORT_BURST = 2.0
_MOST_ABORT_BURST = 5.0
"""However errors came before: no estimate may take the rollback's teeth."""


@dataclass(frozen=True, slots=True)
class Bursts:
    """By how much the logarithms are divided, because errors (slow requests) come in clumps; 1: they come singly."""

    fail_errors: float = 1.0
    pass_errors: float = 1.0
    fail_slow: float = 1.0
    pass_slow: float = 1.0

    @property
    def abort(self) -> float:
        """The catastrophe test is not capped: it never trusts that errors come singly."""
        return min(max(self.fail_errors, _LEAST_ABORT_BURST), _MOST_ABORT_BURST)

    @classmethod
    def of(cls, seen: ReporterBaseline | None) -> "Bursts":
        """From what stable was like; the estimate counts for little where it rests on few errors."""
        return cls() if seen is None else _bursts(seen.error_burst, seen.errors, seen.slow_burst, seen.not_fast)


@lru_cache
def _bursts(error_burst: float, errors: float, slow_burst: float, slow: float) -> Bursts:
    """The same at every pass of a rollout."""
    return Bursts(
        fail_errors=_shrunk(error_burst, errors),
        pass_errors=min(max(1.0, error_burst), _MOST_BURST),
        fail_slow=_shrunk(slow_burst, slow),
        pass_slow=min(max(1.0, slow_burst), _MOST_BURST),
    )


def _shrunk(burst: float, events: float) -> float:
    return min(max(1.0, (burst * events + 1.0) / (events + 1.0)), _MOST_BURST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one step. Rates are fractions, `latency` and `warmup` in seconds."""

    max_error_rate: float
    latency: float
    min_requests: int = 1
    max_increase: float = math.inf
    """How many times stable's rate the canary's may be; infinity: not compared."""
    relative_floor: float = 0.0025
    abort_error_rate: float = 0.2
    warmup: float = 0.0
    alpha: float = ALPHA
    beta: float = 0.05
    """Chance of passing while the canary is at its limit."""
    last: bool = False
    """Whether what passes is promoted: then this step alone must bring the whole evidence."""
    source: Bursts = Bursts()
    destination: Bursts = Bursts()
    custom: tuple[CustomMetricQuery, ...] = ()
    custom_unknown: frozenset[str] = frozenset()
    """Names of those that could not be looked up in this pass: what they have shown is kept."""
    scrape_interval: float = SCRAPE_INTERVAL
    unattributed_rate: float = 0.0
    """Errors a second that no workload answered, in the hour before."""
    reported: frozenset[Reporter] = frozenset()
    """Who reported stable's requests in the hour before."""

    @property
    def slow_share(self) -> float:
        """Share of requests that may be slower than `latency`."""
        return SLOW_SHARE

    @property
    def fail_line(self) -> float:
        """The evidence at which a canary is rolled back."""
        return 1.0 / self.alpha

    @property
    def pass_line(self) -> float:
        """The evidence at which a step passes."""
        return 1.0 / self.beta

    @property
    def fresh_line(self) -> float:
        """By how much this step has to multiply the evidence for the canary."""
        return self.pass_line if self.last else min(FRESH, self.pass_line)

    def bursts(self, reporter: Reporter) -> Bursts:
        """The burst factors of one reporter."""
        return self.source if reporter is Reporter.SOURCE else self.destination


_Given = tuple[CanaryRolloutSpec, Baseline | None, tuple[CustomMetricQuery, ...], frozenset[str]]


def limits_of(
    spec: CanaryRolloutSpec,
    weight: int,
    baseline: Baseline | None = None,
    custom: tuple[CustomMetricQuery, ...] = (),
    custom_unknown: frozenset[str] = frozenset(),
) -> Limits:
    """The limits that the spec sets at a weight, in the light of what stable was like. A pass asks for them several times."""
    return _LIMITS((spec, baseline, custom, custom_unknown), (weight,))


def _limits(given: _Given, at: tuple[int]) -> Limits:
    (spec, baseline, custom, custom_unknown), (weight,) = given, at
    analysis = spec.analysis_at(weight)
    seen = baseline or Baseline()
    return Limits(
        max_error_rate=analysis.max_error_rate,
        latency=analysis.max_p99_latency,
        min_requests=analysis.min_requests,
        max_increase=analysis.max_error_rate_increase,
        relative_floor=analysis.relative_floor,
        abort_error_rate=analysis.abort_error_rate,
        warmup=analysis.warmup,
        beta=1.0 - analysis.confidence,
        last=weight >= spec.steps[-1].weight,
        source=Bursts.of(seen.source),
        destination=Bursts.of(seen.destination),
        custom=custom,
        custom_unknown=custom_unknown,
        unattributed_rate=seen.unattributed / seen.seconds if seen.seconds > 0.0 else 0.0,
        scrape_interval=seen.scrape_interval or SCRAPE_INTERVAL,
        reported=frozenset(
            reporter
            for reporter, view in ((Reporter.SOURCE, seen.source), (Reporter.DESTINATION, seen.destination))
            if view is not None and view.requests > 0.0
        ),
    )


_LIMITS = Memory(_limits)
