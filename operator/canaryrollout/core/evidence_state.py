"""What is remembered about a canary between polls: counts and running products, about 1 KB in the CanaryRollout's status."""

from typing import Annotated

from pydantic import Field

from canaryrollout.api.status import Model
from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core.snapshot import Counts, Reporter

_COUNT = len(formulas.FAIL_MULTIPLES)
_NO_EVIDENCE = (0.0,) * _COUNT
Logs = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=_COUNT, max_length=_COUNT)]


class Tally(Model):
    """Requests counted; `timed` is the denominator of `slow`."""

    total: float = 0.0
    errors: float = 0.0
    timed: float = 0.0
    slow: float = 0.0

    def plus(self, counts: Counts, unattributed: float = 0.0) -> "Tally":
        """With a slice's counts, and with errors charged to this version although no workload answered them."""
        return Tally(
            total=self.total + counts.total + unattributed,
            errors=self.errors + counts.errors + unattributed,
            timed=self.timed + counts.timed,
            slow=self.slow + counts.slow,
        )

    def of(self, metric: str) -> tuple[float, float]:
        """(bad, total) for "errors" or "latency"."""
        return (self.errors, self.total) if metric == "errors" else (self.slow, self.timed)


class ReporterEvidence(Model):
    """One reporter's view. `errors` and `slow` are ln of the running products against the canary, one per alternative."""

    errors: Logs = _NO_EVIDENCE
    slow: Logs = _NO_EVIDENCE
    canary: Tally = Tally()
    """The whole rollout."""
    stable: Tally = Tally()
    unattributed: float = 0.0
    step: Tally = Tally()
    """The canary in this step, before its proof too."""
    step_stable: float = 0.0
    """Stable's requests in this step."""
    passing: Tally = Tally()
    """The canary since this step's proof."""


class EvidenceState(Model):
    """All that must survive a restart; lives in the CanaryRollout's status (about 1 KB)."""

    cursor: float | None = None
    """Prometheus time up to which everything is counted."""
    source: ReporterEvidence = ReporterEvidence()
    destination: ReporterEvidence = ReporterEvidence()

    @classmethod
    def begin(cls) -> "EvidenceState":
        """The state of a rollout that has seen nothing yet."""
        return cls()

    def of(self, reporter: Reporter) -> ReporterEvidence:
        """The view of one reporter."""
        return self.source if reporter is Reporter.SOURCE else self.destination


def begin_step(state: EvidenceState) -> EvidenceState:
    """Start the evidence for passing anew; the evidence against the canary stays."""
    fresh = {"step": Tally(), "step_stable": 0.0, "passing": Tally()}
    return state.model_copy(
        update={
            "source": state.source.model_copy(update=fresh),
            "destination": state.destination.model_copy(update=fresh),
        }
    )
