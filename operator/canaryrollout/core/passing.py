"""The evidence for the canary: whether a step has shown that it is below its limits.

What was counted in the observed time of all steps so far must reach 1/beta: a canary that is at its limit ever reaches that with
chance at most beta. And this step alone must multiply it by `fresh_line`, for a fault may depend on the load: a canary that is at
its limit only from some weight on passes that step with chance at most 1/fresh_line, and the last step, whose fresh_line is
1/beta, with chance at most beta. The ratio of the two is itself a mixture of likelihood ratios whose weights were learned in the
earlier steps and fixed before this one, so both bounds are Ville's; see docs/adr/0014-evidence.md.
"""

import math
from typing import Literal, NamedTuple

from canaryrollout.api.evidence import CustomEvidence, EvidenceState, Tally
from canaryrollout.api.quantities import format_duration
from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core import evidence_wording as wording
from canaryrollout.core.evidence_wording import Numbers
from canaryrollout.core.limits import Limits
from canaryrollout.core.snapshot import Problem, Reporter
from canaryrollout.core.wealth import REPORTERS, view_of

INSIDE_SCRAPES = 3
METRICS = ("errors", "latency")


def judge(state: EvidenceState, limits: Limits) -> tuple[Numbers, ...] | Problem:
    """The numbers of a pass, the weakest of each metric first; or what is still missing."""
    return _too_little(state, limits) or _custom_missing(state, limits) or _requests(state, limits)


def _too_little(state: EvidenceState, limits: Limits) -> Problem | None:
    seen = max(view_of(state, reporter).passing.total for reporter in REPORTERS)
    if seen <= 0.0 or seen < limits.min_requests:
        said = f"{seen:,.0f} of at least {limits.min_requests:,} canary requests since the weights were proved"
        return Problem("NotEnoughRequests", said)
    return _silent(state, limits) or _untimed(state, limits)


def _silent(state: EvidenceState, limits: Limits) -> Problem | None:
    """Who has reported before has to report the canary in each step: what only they can see would be missed."""
    for reporter, who in ((Reporter.SOURCE, "callers"), (Reporter.DESTINATION, "the pods themselves")):
        view = view_of(state, reporter)
        known = reporter in limits.reported or view.canary.total + view.stable.total > 0.0
        if known and view.passing.total <= 0.0:
            said = f"{who} have reported requests to Prometheus before, but none to the canary since the weights were proved"
            return Problem("ReporterSilent", f"{said}: are their proxies scraped?")
    return None


def _untimed(state: EvidenceState, limits: Limits) -> Problem | None:
    if any(view_of(state, reporter).passing.timed > 0.0 for reporter in REPORTERS):
        return None
    if state.weight_since is not None and state.cursor is not None and state.cursor < state.weight_since + limits.warmup:
        return Problem("WarmingUp", f"latency is not judged in the first {format_duration(limits.warmup)} of the canary")
    return Problem("LatencyNotMeasured", "no reporter has measured how long the canary's requests took")


def _requests(state: EvidenceState, limits: Limits) -> tuple[Numbers, ...] | Problem:
    """Every reporter that saw the canary must agree, for errors and for latency."""
    judged = [
        _numbers(state, limits, metric, reporter)
        for reporter in REPORTERS
        for metric in METRICS
        if _of(view_of(state, reporter).passing, metric)[1] > 0.0
    ]
    weakest = tuple(min((n for n in judged if n.metric == metric), key=lambda n: n.missing) for metric in METRICS)
    custom = tuple(found for metric in state.custom if (found := _custom_numbers(metric, limits)) is not None)
    every = (*weakest, *custom)
    if all(numbers.missing >= 0.0 for numbers in every):
        return every
    return Problem("CollectingEvidence", wording.collecting(every, limits.latency, [_more(state, limits, n) for n in weakest]))


def _numbers(state: EvidenceState, limits: Limits, metric: str, reporter: Reporter) -> Numbers:
    view, bursts = view_of(state, reporter), limits.bursts(reporter)
    bad, total = _of(view.passing, metric)
    if metric == "errors":
        # Requests that reached no pod may have been the canary's, whatever is charged to it.
        bad, total = bad + view.lost - view.charged, total + view.lost - view.charged
        judged = _Judged("errors", limits.max_error_rate, bursts.pass_errors, reporter=reporter)
    else:
        judged = _Judged("latency", limits.slow_share, bursts.pass_slow, reporter=reporter)
    return _weighed(judged, (bad, total), _of(view.passed, metric), limits)


class _Judged(NamedTuple):
    """What is judged, and by what."""

    metric: Literal["errors", "latency", "custom"]
    limit: float
    burst: float = 1.0
    name: str = ""
    reporter: Reporter | None = None


def _weighed(judged: _Judged, seen: tuple[float, float], before: tuple[float, float], limits: Limits) -> Numbers:
    """The evidence for the canary from what was `seen` in this step, in the light of `before` in earlier ones, both (bad, total)."""
    earlier = formulas.log_pass(*before, judged.limit, judged.burst)
    log = formulas.log_pass(before[0] + seen[0], before[1] + seen[1], judged.limit, judged.burst)
    return Numbers(
        metric=judged.metric,
        name=judged.name,
        reporter=judged.reporter,
        requests=seen[1],
        bad=seen[0],
        limit=judged.limit,
        evidence=formulas.bounded_exp(log),
        line=limits.pass_line,
        # Errors count against the pass, not only towards it: what is missing is the larger of the two lacks.
        missing=min(log - math.log(limits.pass_line), log - earlier - math.log(limits.fresh_line)),
        fresh=formulas.bounded_exp(log - earlier),
        fresh_line=limits.fresh_line,
    )


def _more(state: EvidenceState, limits: Limits, numbers: Numbers) -> int | None:
    """About how many more requests it takes at the rate seen in this step."""
    view, bursts = view_of(state, numbers.reporter or Reporter.SOURCE), limits.bursts(numbers.reporter or Reporter.SOURCE)
    burst = bursts.pass_errors if numbers.metric == "errors" else bursts.pass_slow
    before = _of(view.passed, numbers.metric)
    bad, total = before[0] + numbers.bad, before[1] + numbers.requests
    line = formulas.log_pass(bad, total, numbers.limit, burst) - numbers.missing
    return formulas.requests_to_pass(bad, total, numbers.limit, line, burst, rate=numbers.rate)


def _custom_missing(state: EvidenceState, limits: Limits) -> Problem | None:
    known = {metric.name: metric for metric in state.custom}
    for query in limits.custom:
        metric = known.get(query.name, CustomEvidence(name=query.name))
        if query.value and (metric.inside < INSIDE_SCRAPES or metric.outside > 0):
            value = "nothing yet" if metric.value is None else f"{metric.value:g}"
            bounds = wording.bounds(query.minimum, query.maximum)
            return Problem("CustomMetric", f"{query.name} must be {bounds} {INSIDE_SCRAPES} times in this step; it shows {value}")
        if not query.value and metric.passing_total <= 0.0:
            return Problem("CustomMetric", f"{query.name} has counted nothing since the weights were proved")
    return None


def _custom_numbers(metric: CustomEvidence, limits: Limits) -> Numbers | None:
    query = next((q for q in limits.custom if q.name == metric.name and not q.value), None)
    if query is None:
        return None
    judged = _Judged("custom", query.max_rate if query.max_rate is not None else 1.0, name=metric.name)
    return _weighed(judged, (metric.passing_bad, metric.passing_total), (metric.passed_bad, metric.passed_total), limits)


def _of(tally: Tally, metric: str) -> tuple[float, float]:
    """(bad, total); what is not known to be fast does not help to pass."""
    return (tally.errors, tally.total) if metric == "errors" else (tally.not_fast, tally.timed)
