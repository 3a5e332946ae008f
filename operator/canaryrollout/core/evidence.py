"""The evidence about a canary: what its requests say about its limits so far, and the verdict that follows.

Evidence starts at 1. If the canary is within its limits, the chance that the evidence against it ever reaches its line
(number of tests / alpha) is at most alpha, over the whole rollout, however often we look. A step passes when the evidence
*for* the canary, gathered since that step's proof, reaches 1 / beta.

Evidence against the canary takes every slice and is never reset; evidence for it takes only slices that lie wholly after
the step's weights were proved. Everything here is pure: the same polls give the same state, in one process or in many.
"""

import math
from dataclasses import dataclass
from typing import Literal

from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core import evidence_wording as wording
from canaryrollout.core.evidence_state import EvidenceState, ReporterEvidence, Tally, begin_step
from canaryrollout.core.evidence_wording import Numbers
from canaryrollout.core.snapshot import Poll, Problem, Reporter, Slice

__all__ = ["EvidenceState", "Fail", "Limits", "Numbers", "Pass", "Verdict", "Wait", "begin_step", "observe", "verdict"]

METRICS: tuple[Literal["errors", "latency"], ...] = ("errors", "latency")
REPORTERS = (Reporter.SOURCE, Reporter.DESTINATION)
NUMBER_OF_TESTS = 3 * len(REPORTERS)
"""Errors, catastrophe and slow requests, for each reporter: the false alarm probability is shared among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the canary must keep, and how sure a verdict must be. Rates are fractions, `latency` is in seconds."""

    max_error_rate: float
    latency: float
    min_requests: int
    slow_share: float = 0.01
    """Share of requests that may be slower than `latency`: 0.01 makes it a limit on the 99th percentile."""
    alpha: float = 0.01
    """Chance of ever rolling back a canary that is within its limits."""
    beta: float = 0.05
    """Chance of passing a step while the canary is at its limit."""

    @property
    def fail_line(self) -> float:
        """The evidence at which a canary is rolled back."""
        return NUMBER_OF_TESTS / self.alpha

    @property
    def pass_line(self) -> float:
        """The evidence at which a step passes."""
        return 1.0 / self.beta


@dataclass(frozen=True, slots=True)
class Pass:
    """The step has shown that the canary is below its limits."""

    explanation: str
    numbers: tuple[Numbers, ...]


@dataclass(frozen=True, slots=True)
class Fail:
    """The canary is above a limit."""

    metric: Literal["errors", "latency"]
    reporter: Reporter
    explanation: str
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class Wait:
    """Neither is shown yet, or the data does not allow a pass."""

    reason: str
    message: str


Verdict = Pass | Fail | Wait


def observe(
    state: EvidenceState, poll: Poll, limits: Limits, *, counts_for_pass_from: float | None, canary_weight: int = 100
) -> EvidenceState:
    """Fold in a poll.

    `counts_for_pass_from` is the Prometheus time of the step's proof: slices that start earlier count against the canary
    only (None: not proved yet). Errors that no workload answered are charged to the canary while `canary_weight` is above 0.
    A slice up to the cursor is ignored, so that a replayed poll changes nothing; one that straddles the cursor would count
    requests twice, so it is refused and the cursor stays: the next poll, asked from the cursor, brings its rest.
    """
    cursor = -math.inf if state.cursor is None else state.cursor
    unseen = [piece for piece in poll.slices if piece.end > cursor]
    if any(piece.start < cursor for piece in unseen):
        return state
    views = {reporter: state.of(reporter) for reporter in REPORTERS}
    for piece in sorted(unseen, key=lambda piece: piece.end):
        counts_for_pass = counts_for_pass_from is not None and piece.start >= counts_for_pass_from
        views[piece.reporter] = _fold(
            views[piece.reporter], piece, limits, counts_for_pass=counts_for_pass, charge_unattributed=canary_weight > 0
        )
    return EvidenceState(
        cursor=max([cursor, poll.time, *(piece.end for piece in unseen)]),
        source=views[Reporter.SOURCE],
        destination=views[Reporter.DESTINATION],
    )


def _fold(view: ReporterEvidence, piece: Slice, limits: Limits, *, counts_for_pass: bool, charge_unattributed: bool) -> ReporterEvidence:
    unattributed = piece.unattributed_errors if charge_unattributed else 0.0
    counted = Tally().plus(piece.canary, unattributed)
    return ReporterEvidence(
        errors=formulas.add_slice(view.errors, *counted.of("errors"), limits.max_error_rate),
        slow=formulas.add_slice(view.slow, *counted.of("latency"), limits.slow_share),
        canary=view.canary.plus(piece.canary, unattributed),
        stable=view.stable.plus(piece.stable),
        unattributed=view.unattributed + unattributed,
        step=view.step.plus(piece.canary, unattributed),
        step_stable=view.step_stable + piece.stable.total,
        passing=view.passing.plus(piece.canary, unattributed) if counts_for_pass else view.passing,
    )


def verdict(state: EvidenceState, limits: Limits, problems: tuple[Problem, ...]) -> Verdict:
    """What the evidence allows now. Problems with the data forbid a pass, never a failure."""
    return (
        _failure(state, limits) or _silence(state, problems) or _problem(problems) or _too_little(state, limits) or _passed(state, limits)
    )


def against(state: EvidenceState, limits: Limits) -> dict[str, float]:
    """The evidence against the canary by test, such as {"errors/source": 3.2}; it fails at limits.fail_line."""
    return {
        f"{metric}/{reporter.value}": math.exp(min(_log_against(state.of(reporter), metric, limits), 700.0))
        for reporter in REPORTERS
        for metric in METRICS
    }


def _failure(state: EvidenceState, limits: Limits) -> Fail | None:
    line = math.log(limits.fail_line)
    crossed = [
        (evidence, metric, reporter)
        for reporter in REPORTERS
        for metric in METRICS
        if (evidence := _log_against(state.of(reporter), metric, limits)) >= line
    ]
    if not crossed:
        return None
    evidence, metric, reporter = max(crossed, key=lambda found: found[0])
    view = state.of(reporter)
    window = max(view.step, view.canary, key=lambda tally: _rate(*tally.of(metric)))
    stable_bad, stable_total = view.stable.of(metric)
    bad, total = window.of(metric)
    numbers = Numbers(
        metric=metric,
        reporter=reporter,
        requests=total,
        bad=bad,
        limit=_limit(limits, metric),
        stable_requests=stable_total,
        stable_bad=stable_bad,
        log_evidence=evidence,
        line=limits.fail_line,
    )
    unattributed = min(view.unattributed, bad) if metric == "errors" else 0.0
    explanation = wording.failure(numbers, limits.latency, unattributed, whole_rollout=window is not view.step)
    return Fail(metric, reporter, explanation, numbers)


def _log_against(view: ReporterEvidence, metric: str, limits: Limits) -> float:
    """ln of the strongest evidence against the canary; the tests are not added up, each has its share of alpha."""
    if metric == "latency":
        return formulas.log_mean_exp(view.slow)
    catastrophe = formulas.log_catastrophe(view.canary.errors, view.canary.total, limits.max_error_rate)
    return max(formulas.log_mean_exp(view.errors), catastrophe)


def _silence(state: EvidenceState, problems: tuple[Problem, ...]) -> Wait | None:
    """A canary without requests is named before the doubts about its data, which often follow from that."""
    views = [state.of(reporter) for reporter in REPORTERS]
    if any(view.step.total > 0.0 for view in views):
        return None
    stable = max(view.step_stable for view in views)
    if stable > 0.0:
        said = f"the canary has received no requests in this step, while stable has answered {stable:,.0f}"
        return Wait("NoCanaryTraffic", _sentences(said, problems))
    return None if problems else Wait("NoTraffic", "the service has received no requests in this step")


def _problem(problems: tuple[Problem, ...]) -> Wait | None:
    return Wait(problems[0].reason, _sentences(problems[0].message, problems[1:])) if problems else None


def _sentences(first: str, problems: tuple[Problem, ...]) -> str:
    return "; ".join([first, *(problem.message for problem in problems)])


def _too_little(state: EvidenceState, limits: Limits) -> Wait | None:
    seen = max(state.of(reporter).passing.total for reporter in REPORTERS)
    if seen <= 0.0 or seen < limits.min_requests:
        return Wait("NotEnoughRequests", f"{seen:,.0f} of at least {limits.min_requests:,} canary requests since the weights were proved")
    if not any(state.of(reporter).passing.timed > 0.0 for reporter in REPORTERS):
        return Wait("LatencyNotMeasured", "no reporter has measured how long the canary's requests took")
    return None


def _passed(state: EvidenceState, limits: Limits) -> Pass | Wait:
    """Every reporter that saw the canary must agree, for errors and for latency."""
    line = math.log(limits.pass_line)
    judged = [
        Numbers(
            metric=metric,
            reporter=reporter,
            requests=total,
            bad=bad,
            limit=_limit(limits, metric),
            log_evidence=formulas.log_pass(bad, total, _limit(limits, metric)),
            line=limits.pass_line,
        )
        for reporter in REPORTERS
        for metric in METRICS
        for bad, total in [state.of(reporter).passing.of(metric)]
        if total > 0.0
    ]
    weakest = [min((n for n in judged if n.metric == metric), key=lambda n: n.log_evidence) for metric in METRICS]
    if all(numbers.log_evidence >= line for numbers in weakest):
        return Pass(wording.passed(weakest, limits.latency), tuple(judged))
    return Wait("CollectingEvidence", wording.collecting(weakest, limits.latency))


def _limit(limits: Limits, metric: str) -> float:
    return limits.max_error_rate if metric == "errors" else limits.slow_share


def _rate(bad: float, total: float) -> float:
    return bad / total if total > 0.0 else 0.0
