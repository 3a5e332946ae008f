"""One run in detail: what a picture of it needs."""

from dataclasses import dataclass

from canaryrollout.api.evidence import EvidenceState, ReporterEvidence, Tally
from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus
from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core.limits import Limits, limits_of
from canaryrollout.core.wealth import REPORTERS, evidence_against, view_of


@dataclass(frozen=True, slots=True)
class Point:
    """The state after a pass, `seconds` after the start. Counts are those of the whole rollout, by the better reporter."""

    seconds: float
    weight: int
    against: float
    in_favour: float | None
    """None while the step has nothing to show for the canary."""
    canary: Tally
    stable: Tally


class Recorder:
    """A replay's watcher that keeps every point."""

    def __init__(self, spec: CanaryRolloutSpec) -> None:
        self.spec = spec
        self.points: list[Point] = []
        self.limits: Limits = limits_of(spec, 0)
        self._start: float | None = None

    def __call__(self, now: float, status: CanaryRolloutStatus) -> None:
        """Note a pass."""
        if self._start is None:
            self._start = now
        rollout = status.rollout
        evidence = rollout.evidence if rollout is not None else None
        if rollout is None or evidence is None:
            return
        limits = limits_of(self.spec, status.weight, rollout.baseline)
        view = _better(evidence.source, evidence.destination)
        passed = bool(self.points) and 0 < self.points[-1].weight < status.weight
        against, in_favour = evidence_against(evidence, limits), evidence_for(evidence, limits, passed=passed)
        self.points.append(Point(now - self._start, status.weight, against, in_favour, view.canary, view.stable))


def _better(source: ReporterEvidence, destination: ReporterEvidence) -> ReporterEvidence:
    """The callers' view, unless the pods have counted more."""
    return source if source.canary.total >= destination.canary.total else destination


def evidence_for(state: EvidenceState, limits: Limits, *, passed: bool = False) -> float | None:
    """The weakest evidence for the canary among the reporters that saw it, for errors and for latency; None: nothing counts yet.

    `passed`: the step has just passed, and what passed it belongs to the past already.
    """
    found = []
    for reporter in REPORTERS:
        view, bursts = view_of(state, reporter), limits.bursts(reporter)
        now, before = view.passing, view.passed
        if now.total > 0.0 or (passed and before.total > 0.0):
            errors = formulas.log_pass(now.errors + before.errors, now.total + before.total, limits.max_error_rate, bursts.pass_errors)
            found.append(errors)
        if now.timed > 0.0 or (passed and before.timed > 0.0):
            slow = formulas.log_pass(now.not_fast + before.not_fast, now.timed + before.timed, limits.slow_share, bursts.pass_slow)
            found.append(slow)
    return formulas.bounded_exp(min(found)) if found else None
