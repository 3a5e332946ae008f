"""What the evidence allows now: Pass, Fail or Wait, each with the numbers it rests on."""

import math
from dataclasses import dataclass

from canaryrollout.api.evidence import CustomEvidence, EvidenceState, ReporterEvidence, Tally, Trouble
from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core import evidence_wording as wording
from canaryrollout.core.evidence_wording import Numbers
from canaryrollout.core.limits import Limits
from canaryrollout.core.passing import judge
from canaryrollout.core.snapshot import Problem
from canaryrollout.core.wealth import CUSTOM, REPORTERS, against, evidence_against, out_of_bounds, parts, view_of

__all__ = ["Fail", "Limits", "Numbers", "Pass", "Verdict", "Wait", "against", "evidence_against", "verdict"]

_FEW_ERRORS = 3.0
_FIRST_SCRAPE = frozenset({"NoData", "PodNotScraped"})
"""Problems that every canary has until its pods have been scraped once."""


@dataclass(frozen=True, slots=True)
class Pass:
    """The step has shown that the canary is below its limits."""

    explanation: str
    numbers: tuple[Numbers, ...]


@dataclass(frozen=True, slots=True)
class Fail:
    """The canary is above a limit."""

    metric: str
    """errors, latency, or custom/NAME."""
    explanation: str
    numbers: Numbers | None = None
    """None where a custom value left its bounds."""
    shared: bool = False
    """Stable does no better: what both depend on may be at fault."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Neither is shown yet, or the data does not allow a pass."""

    reason: str
    message: str


Verdict = Pass | Fail | Wait


def verdict(state: EvidenceState, limits: Limits, problems: tuple[Problem, ...]) -> Verdict:
    """What the evidence allows now. Problems with the data forbid a pass, never a failure."""
    return _failure(state, limits) or _outside(state, limits) or _wait(state, problems) or _passed(state, limits)


def _failure(state: EvidenceState, limits: Limits) -> Fail | None:
    evidence = evidence_against(state, limits)
    if evidence < limits.fail_line:
        return None
    found = parts(state, limits)
    # In the order of the parts: of two that are worth the same, every process names the first.
    named = dict.fromkeys(part.metric for part in found)
    worth = {metric: sum(part.worth for part in found if part.metric == metric) for metric in named}
    strongest = max((part for part in found if part.metric == max(worth, key=lambda name: worth[name])), key=lambda part: part.worth)
    if strongest.reporter is None:
        return _custom_failure(next(m for m in state.custom if CUSTOM + m.name == strongest.metric), limits, evidence)
    view = view_of(state, strongest.reporter)
    trouble = view.errors_trouble if strongest.metric == "errors" else view.latency_trouble
    whole = _whole(view, strongest.metric)
    window = _window(trouble, whole, gave_up=strongest.test == "relative")
    numbers = Numbers(
        metric="errors" if strongest.metric == "errors" else "latency",
        reporter=strongest.reporter,
        test=strongest.test,
        requests=window.total,
        bad=window.bad,
        limit=limits.max_error_rate if strongest.metric == "errors" else limits.slow_share,
        stable_requests=window.stable_total,
        stable_bad=window.stable_bad,
        increase=limits.max_increase,
        evidence=evidence,
        line=limits.fail_line,
    )
    besides = wording.Besides(min(window.unattributed, window.bad), window.aborted if strongest.test == "relative" else 0.0)
    explanation = wording.failure(numbers, limits.latency, besides, whole_rollout=window is whole)
    return Fail(strongest.metric, explanation, numbers, shared=_shared(trouble, numbers))


def _window(trouble: Trouble, whole: Trouble, *, gave_up: bool) -> Trouble:
    """The span in which the canary looks worst; where the test counts clients that gave up, these make it look worse, too."""
    if trouble.total <= 0.0:
        return whole
    return max(trouble, whole, key=lambda span: formulas.rate(span.bad + (span.aborted if gave_up else 0.0), span.total))


def _whole(view: ReporterEvidence, metric: str) -> Trouble:
    """The whole rollout as a window."""
    (bad, total), (stable_bad, stable_total) = _of(view.canary, metric), _of(view.stable, metric)
    found = Trouble(bad=bad, total=total, stable_bad=stable_bad, stable_total=stable_total)
    return found.model_copy(update={"unattributed": view.unattributed, "aborted": view.aborted}) if metric == "errors" else found


def _shared(trouble: Trouble, numbers: Numbers) -> bool:
    """Whether stable, too, is above the limit lately, and the canary no more above it than it may be."""
    bad, total, stable_bad, stable_total = trouble.recent
    stable, increase = formulas.rate(stable_bad, stable_total), numbers.increase if math.isfinite(numbers.increase) else 2.0
    return stable_bad >= _FEW_ERRORS and stable > numbers.limit and formulas.rate(bad, total) <= increase * stable


def _custom_failure(metric: CustomEvidence, limits: Limits, evidence: float) -> Fail:
    query = next((query for query in limits.custom if query.name == metric.name), None)
    numbers = Numbers(
        metric="custom",
        name=metric.name,
        requests=metric.total,
        bad=metric.bad,
        # Not known while its template cannot be looked up.
        limit=query.max_rate if query is not None and query.max_rate is not None else math.inf,
        evidence=evidence,
        line=limits.fail_line,
    )
    return Fail(CUSTOM + metric.name, wording.custom_failure(numbers), numbers)


def _outside(state: EvidenceState, limits: Limits) -> Fail | None:
    metric = out_of_bounds(state, limits)
    if metric is None or metric.value is None:
        return None
    query = next(query for query in limits.custom if query.name == metric.name)
    return Fail(CUSTOM + metric.name, wording.custom_value(metric.name, metric.value, query.minimum, query.maximum, metric.outside))


def _wait(state: EvidenceState, problems: tuple[Problem, ...]) -> Wait | None:
    """A canary without requests is named before the doubts about its data, which often follow from that."""
    views = [view_of(state, reporter) for reporter in REPORTERS]
    silent = not any(view.step > 0.0 for view in views)
    stable = max(view.step_stable for view in views)
    if silent and stable > 0.0:
        said = f"the canary is not receiving traffic: no request in this step, while stable has answered {stable:,.0f}"
        return Wait("NoCanaryTraffic", wording.sentences(said, problems))
    if problems:
        # A pod's first scrape comes after its first request: nobody has to be woken before the count has begun.
        early = problems[0].reason in _FIRST_SCRAPE and not any(view.passing.total > 0.0 for view in views)
        reason = "NotEnoughRequests" if early else problems[0].reason
        return Wait(reason, wording.sentences(problems[0].message, problems[1:]))
    return Wait("NoTraffic", "the service has received no requests in this step") if silent else None


def _passed(state: EvidenceState, limits: Limits) -> Pass | Wait:
    found = judge(state, limits)
    if isinstance(found, Problem):
        return Wait(found.reason, found.message)
    return Pass(wording.passed(found, limits.latency), found)


def _of(tally: Tally, metric: str) -> tuple[float, float]:
    return (tally.errors, tally.total) if metric == "errors" else (tally.slow, tally.timed)
