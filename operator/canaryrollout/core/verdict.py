"""What the evidence allows now: Pass, Fail or Wait, each with the numbers it rests on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from canaryrollout.api.evidence import CustomEvidence, EvidenceState, ReporterEvidence, Tally, Trouble
from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core import evidence_wording as wording
from canaryrollout.core import stakes
from canaryrollout.core.evidence import REPORTERS, view_of
from canaryrollout.core.evidence_wording import Numbers, Test
from canaryrollout.core.limits import Limits
from canaryrollout.core.passing import judge
from canaryrollout.core.snapshot import Problem, Reporter

__all__ = ["Fail", "Limits", "Numbers", "Pass", "Verdict", "Wait", "against", "evidence_against", "verdict"]

OUTSIDE_SLICES = 3
"""So many slices in a row with a value outside its bounds are no accident, so many inside (in a step) are no luck."""

_FEW = 20.0
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
    """errors, latency, or the name of a custom metric."""
    explanation: str
    numbers: Numbers | None = None
    """None where a custom value left its bounds."""
    shared: bool = False
    """Stable does no better: what both depend on may be at fault."""
    ongoing: bool = True
    """Whether the trouble still shows in the latest requests."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Neither is shown yet, or the data does not allow a pass."""

    reason: str
    message: str


Verdict = Pass | Fail | Wait


@dataclass(frozen=True, slots=True)
class Part:
    """What one test contributes to the evidence against the canary."""

    metric: str
    test: Test
    reporter: Reporter | None
    worth: float


def verdict(state: EvidenceState, limits: Limits, problems: tuple[Problem, ...]) -> Verdict:
    """What the evidence allows now. Problems with the data forbid a pass, never a failure."""
    return _failure(state, limits) or _outside(state, limits) or _wait(state, problems) or _passed(state, limits)


def parts(state: EvidenceState, limits: Limits) -> tuple[Part, ...]:
    """The evidence against the canary by test; with the cash they are its sum."""
    found = [part for reporter in REPORTERS for part in _parts(view_of(state, reporter), reporter, limits)]
    ratios = {query.name for query in limits.custom if not query.value}
    scale = 1.0 + stakes.CUSTOM * len(ratios)
    custom = [Part(m.name, "absolute", None, stakes.CUSTOM * stakes.worth(m.logs)) for m in state.custom if m.name in ratios]
    return tuple(Part(part.metric, part.test, part.reporter, part.worth / scale) for part in (*found, *custom))


def _parts(view: ReporterEvidence, reporter: Reporter, limits: Limits) -> tuple[Part, ...]:
    half = 1.0 / len(REPORTERS)
    found = [
        Part("errors", "absolute", reporter, half * stakes.ERRORS * stakes.worth(view.errors)),
        Part("errors", "catastrophe", reporter, half * stakes.CATASTROPHE * stakes.worth(view.catastrophe)),
        Part("latency", "absolute", reporter, half * stakes.SLOW * stakes.worth(view.slow)),
    ]
    if _above_floor(view.canary.errors, view.canary.total, view.errors_trouble, limits):
        found.append(Part("errors", "relative", reporter, half * stakes.ERRORS_RELATIVE * stakes.worth(view.errors_relative)))
    if _above_floor(view.canary.slow, view.canary.timed, view.latency_trouble, limits):
        found.append(Part("latency", "relative", reporter, half * stakes.SLOW_RELATIVE * stakes.worth(view.slow_relative)))
    return tuple(found)


def _above_floor(bad: float, total: float, trouble: Trouble, limits: Limits) -> bool:
    """A share that is small enough is never too much, however little stable shows."""
    if not math.isfinite(limits.max_increase):
        return False
    return max(_rate(bad, total), _rate(trouble.bad, trouble.total)) >= limits.relative_floor


def evidence_against(state: EvidenceState, limits: Limits) -> float:
    """What the stake of 1 has become; the canary fails at limits.fail_line."""
    return state.cash + sum(part.worth for part in parts(state, limits))


def against(state: EvidenceState, limits: Limits) -> Mapping[str, float]:
    """The evidence against the canary by metric and reporter, such as {"errors/source": 3.2}, and their "total" with the cash."""
    named: dict[str, float] = {}
    for part in parts(state, limits):
        name = f"{part.metric}/{part.reporter.value}" if part.reporter is not None else part.metric
        named[name] = named.get(name, 0.0) + part.worth
    return {**named, "total": evidence_against(state, limits)}


def _failure(state: EvidenceState, limits: Limits) -> Fail | None:
    evidence = evidence_against(state, limits)
    if evidence < limits.fail_line:
        return None
    found = parts(state, limits)
    worth = {metric: sum(part.worth for part in found if part.metric == metric) for metric in {part.metric for part in found}}
    strongest = max((part for part in found if part.metric == max(worth, key=lambda name: worth[name])), key=lambda part: part.worth)
    if strongest.reporter is None:
        return _custom_failure(next(m for m in state.custom if m.name == strongest.metric), limits, evidence)
    view = view_of(state, strongest.reporter)
    trouble = view.errors_trouble if strongest.metric == "errors" else view.latency_trouble
    whole = Trouble(**dict(zip(("bad", "total"), _of(view.canary, strongest.metric), strict=True)))
    stable_bad, stable_total = _of(view.stable, strongest.metric)
    whole = whole.model_copy(update={"stable_bad": stable_bad, "stable_total": stable_total})
    window = max(trouble, whole, key=lambda tally: _rate(tally.bad, tally.total))
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
    lost = min(view.unattributed, window.bad) if strongest.metric == "errors" else 0.0
    explanation = wording.failure(numbers, limits.latency, lost, whole_rollout=window is whole)
    return Fail(strongest.metric, explanation, numbers, shared=_shared(numbers), ongoing=trouble.score > 0.0)


def _shared(numbers: Numbers) -> bool:
    """Whether stable, too, is above the limit, and the canary no more above it than it may be."""
    stable = _rate(numbers.stable_bad, numbers.stable_requests)
    increase = numbers.increase if math.isfinite(numbers.increase) else 2.0
    return numbers.stable_requests >= _FEW and stable > numbers.limit and numbers.rate <= increase * stable


def _custom_failure(metric: CustomEvidence, limits: Limits, evidence: float) -> Fail:
    query = next(query for query in limits.custom if query.name == metric.name)
    numbers = Numbers(
        metric="custom",
        name=metric.name,
        requests=metric.total,
        bad=metric.bad,
        limit=query.max_rate or 0.0,
        evidence=evidence,
        line=limits.fail_line,
    )
    return Fail(metric.name, wording.custom_failure(numbers), numbers)


def _outside(state: EvidenceState, limits: Limits) -> Fail | None:
    queries = {query.name: query for query in limits.custom}
    for metric in state.custom:
        query = queries.get(metric.name)
        if query is not None and metric.outside >= OUTSIDE_SLICES and metric.value is not None:
            return Fail(metric.name, wording.custom_value(metric.name, metric.value, query.minimum, query.maximum, metric.outside))
    return None


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


def _rate(bad: float, total: float) -> float:
    return formulas.rate(bad, total)
