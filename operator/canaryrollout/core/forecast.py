"""What the hour before a rollout lets us expect: how long each step takes at the present traffic, and what is wrong with the data."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from canaryrollout.api.analysis import Analysis
from canaryrollout.api.evidence import Baseline, ReporterBaseline
from canaryrollout.api.quantities import format_duration
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core.evidence_wording import percent
from canaryrollout.core.limits import SLOW_SHARE, Limits, limits_of
from canaryrollout.core.snapshot import Problem, Reporter

LEAST_HISTORY = 60.0
"""Seconds of counts from which the present traffic can be told: a series' first value holds all that came before it."""

_NEAR_LIMIT = 0.5
_CLUMPS = 2.0
_PROOF_SECONDS = 2.0
"""Writing a step's weights and the proxies' acknowledgement, usually."""

_CALLERS = "reporter=source"
_PODS = "reporter=destination"


@dataclass(frozen=True, slots=True)
class StepForecast:
    """How long a step will take; None where a canary like stable would never pass it."""

    weight: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Given:
    """The input of every check."""

    spec: CanaryRolloutSpec
    baseline: Baseline
    scrape_interval: float
    """Seconds, as the operator is configured."""

    @property
    def views(self) -> tuple[tuple[Reporter, ReporterBaseline], ...]:
        """The reporters that have seen requests."""
        seen = ((Reporter.SOURCE, self.baseline.source), (Reporter.DESTINATION, self.baseline.destination))
        return tuple((reporter, view) for reporter, view in seen if view is not None and view.requests > 0.0)

    @property
    def requests_per_second(self) -> float:
        """The service's present traffic, as the reporter saw it that saw most; the hour's mean where that is not known."""
        if self.baseline.requests_per_second > 0.0:
            return self.baseline.requests_per_second
        requests = max((view.requests for _, view in self.views), default=0.0)
        return requests / self.baseline.seconds if self.baseline.seconds > 0.0 else 0.0

    @property
    def steps(self) -> tuple[tuple[int, Analysis], ...]:
        """Weight and analysis of each step."""
        return tuple((step.weight, self.spec.analysis_at(step.weight)) for step in self.spec.steps)

    def counted_for(self, latency: float) -> bool:
        """Whether the hour before was counted by this latency limit: it was by that of the spec, whatever a step has of its own."""
        return latency == self.spec.analysis.max_p99_latency

    @property
    def too_short(self) -> bool:
        """Whether there are requests, but for too short a time to tell how many there are in a second."""
        return bool(self.views) and self.baseline.seconds < LEAST_HISTORY


def forecast(given: Given, slice_seconds: float = 5.0) -> tuple[StepForecast, ...]:
    """The time of each step for a canary that does as stable did, at the traffic of the hour before. Empty where that cannot be told."""
    rate = given.requests_per_second
    if rate <= 0.0 or given.too_short:
        return ()
    interval = given.baseline.scrape_interval or given.scrape_interval
    overhead = _PROOF_SECONDS + interval + slice_seconds
    found, before = [], 0
    for step in given.spec.steps:
        limits = limits_of(given.spec, step.weight, given.baseline)
        analysis = given.spec.analysis_at(step.weight)
        slow_known = given.counted_for(limits.latency)
        needs = [_requests(view, limits, reporter, before, slow_known=slow_known) for reporter, view in given.views]
        if any(need is None for need in needs):
            found.append(StepForecast(step.weight, None))
            continue
        need = max(analysis.min_requests, *(need for need in needs if need is not None))
        before += need
        found.append(StepForecast(step.weight, overhead + max(analysis.min_duration, need / (rate * step.weight / 100.0))))
    return tuple(found)


def _requests(view: ReporterBaseline, limits: Limits, reporter: Reporter, before: int, *, slow_known: bool) -> int | None:
    """Canary requests that this step needs after `before` in earlier steps, all as bad as stable's; None: never enough.

    Where stable's slow requests are not known by this step's limit, none are foreseen.
    """
    bursts = limits.bursts(reporter)
    metrics = [(formulas.rate(view.errors, view.requests), limits.max_error_rate, bursts.pass_errors)]
    if view.timed > 0.0:
        slow = formulas.rate(view.not_fast, view.timed) if slow_known else 0.0
        metrics.append((slow, limits.slow_share, bursts.pass_slow))
    needs = []
    for share, limit, burst in metrics:
        log = formulas.log_pass(share * before, before, limit, burst)
        line = max(math.log(limits.pass_line), log + math.log(limits.fresh_line))
        needs.append(formulas.requests_to_pass(share * before, before, limit, line, burst, rate=share))
    return None if any(need is None for need in needs) else max(need for need in needs if need is not None)


def told(given: Given) -> str:
    """The forecast in one sentence."""
    if given.too_short:
        known = format_duration(round(given.baseline.seconds))
        return f"Prometheus knows stable's requests for {known} only: how long the steps take cannot be told"
    steps = forecast(given)
    if not steps:
        return "stable has had no requests in the hour before: how long the steps take cannot be told"
    parts = [f"{s.weight} % in about {_rounded(s.seconds)}" if s.seconds is not None else f"{s.weight} % never" for s in steps]
    total = [step.seconds for step in steps if step.seconds is not None]
    whole = f"; in all about {_rounded(sum(total))}" if len(total) == len(steps) else ""
    return f"at {_traffic(given)}: {', '.join(parts)}{whole}"


def _traffic(given: Given) -> str:
    rate = given.requests_per_second
    return f"{rate:,.0f} requests/s" if rate >= 10.0 else f"{rate:.2g} requests/s"


def _rounded(seconds: float) -> str:
    coarse = 5.0 if seconds < 300.0 else 60.0
    return format_duration(max(coarse, round(seconds / coarse) * coarse))


def reporters_seen(given: Given) -> Problem | None:
    """Each reporter sees what the other cannot."""
    seen = {reporter for reporter, _ in given.views}
    if not seen:
        return Problem("NoHistory", "Prometheus knows no request to stable in the hour before: nothing can be compared or foreseen")
    if Reporter.SOURCE not in seen:
        return Problem(
            "CallersNotSeen", f"no caller reports requests ({_CALLERS}): failures to connect stay invisible; scrape the callers' proxies"
        )
    if Reporter.DESTINATION not in seen:
        return Problem("PodsNotSeen", f"stable's own proxies report no requests ({_PODS}): scrape them, or give the pods a sidecar")
    return None


def scrape_interval_fits(given: Given) -> Problem | None:
    """The configured interval decides what counts as stale."""
    measured = given.baseline.scrape_interval
    if measured is None or given.scrape_interval / 1.5 <= measured <= given.scrape_interval * 1.5:
        return None
    configured = format_duration(given.scrape_interval)
    said = f"Prometheus scrapes about every {format_duration(round(measured))}, the operator is set to {configured}"
    return Problem("ScrapeInterval", f"{said}: set --prometheus-scrape-interval")


def threshold_on_an_edge(given: Given) -> Problem | None:
    """A threshold between two edges of the histogram leaves requests in doubt."""
    found = (_off_the_edges(given, weight, analysis.max_p99_latency) for weight, analysis in given.steps)
    return next((problem for problem in found if problem is not None), None)


def _off_the_edges(given: Given, weight: int, latency: float) -> Problem | None:
    edges, threshold = given.baseline.edges, latency * 1000.0
    if not edges or any(math.isclose(edge, threshold, rel_tol=1e-9) for edge in edges):
        return None
    wanted = f"maxP99Latency {format_duration(latency)}{_where(weight, latency, given.spec.analysis.max_p99_latency)}"
    below = max((edge for edge in edges if edge < threshold), default=None)
    above = min((edge for edge in edges if edge > threshold), default=None)
    if above is None:
        return Problem("LatencyBeyondBuckets", f"{wanted} is above the histogram's last edge: no request counts as too slow")
    low, high = ("0ms" if below is None else _edge(below)), _edge(above)
    return Problem(
        "LatencyBetweenBuckets",
        f"{wanted} is no edge of the duration histogram: a request counts as slow only above {high}, "
        f"as fast only below {low}; write {low if below is not None else high} or {high}",
    )


def _where(weight: int, limit: float, usual: float) -> str:
    """Which step a limit is of, where it is not that of the whole analysis."""
    return f" at the {weight} % step" if limit != usual else ""


def _edge(milliseconds: float) -> str:
    return f"{milliseconds:g}ms" if milliseconds < 1000.0 else format_duration(milliseconds / 1000.0)


def stable_well_below_limits(given: Given) -> Problem | None:
    """A canary like stable passes only well below the limit."""
    found = (_near_limit(given, view, weight, analysis) for _, view in given.views for weight, analysis in given.steps)
    return next((problem for problem in found if problem is not None), None)


def _near_limit(given: Given, view: ReporterBaseline, weight: int, analysis: Analysis) -> Problem | None:
    where = _where(weight, analysis.max_error_rate, given.spec.analysis.max_error_rate)
    shares = [("fails", formulas.rate(view.errors, view.requests), analysis.max_error_rate, where, "maxErrorRate")]
    if given.counted_for(analysis.max_p99_latency):
        shares.append(("is too slow for", formulas.rate(view.not_fast, view.timed), SLOW_SHARE, "", "maxP99Latency"))
    for what, share, limit, at, field in shares:
        if share > limit * _NEAR_LIMIT:
            above = "above the limit" if share >= limit else "above half the limit"
            said = f"stable itself {what} {percent(share)} of its requests, {above} of {percent(limit)}{at}"
            return Problem("StableNearLimit", f"{said}: a canary like it passes late or never; raise analysis.{field} or mend stable")
    return None


def errors_come_singly(given: Given) -> Problem | None:
    """Clumps of errors say less than as many single ones."""
    worst = max((max(view.error_burst, view.slow_burst) for _, view in given.views), default=1.0)
    if worst <= _CLUMPS:
        return None
    return Problem(
        "ErrorsInClumps", f"stable's errors arrive in clumps of about {worst:.0f}: a step needs about {worst:.0f} times as many requests"
    )


def enough_traffic(given: Given) -> Problem | None:
    """Every step should pass within its maxDuration."""
    for step in forecast(given):
        longest = given.spec.analysis_at(step.weight).max_duration
        if step.seconds is not None and step.seconds > longest:
            said = f"at {_traffic(given)} the {step.weight} % step needs about {_rounded(step.seconds)}"
            return Problem(
                "TooLittleTraffic", f"{said}, longer than maxDuration {format_duration(longest)}: raise it, or begin with more weight"
            )
    return None


def lost_requests(given: Given) -> Problem | None:
    """Errors that no workload answered were there before the canary."""
    lost = given.baseline.unattributed
    if lost < 1.0:
        return None
    return Problem(
        "ErrorsWithoutWorkload", f"{lost:,.0f} requests of the hour before reached no pod: only more than that counts against the canary"
    )


CHECKS: tuple[Callable[[Given], Problem | None], ...] = (
    reporters_seen,
    scrape_interval_fits,
    threshold_on_an_edge,
    stable_well_below_limits,
    errors_come_singly,
    enough_traffic,
    lost_requests,
)
"""Nothing here holds a rollout up; all of it is said before the first weight."""


def notices(given: Given, checks: Iterable[Callable[[Given], Problem | None]] = CHECKS) -> tuple[Problem, ...]:
    """What people should know about the data that the rollout will be judged by."""
    return tuple(problem for check in checks if (problem := check(given)) is not None)
