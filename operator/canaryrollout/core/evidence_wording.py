"""The evidence in words: one sentence for the engineer on call, with the numbers it rests on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from canaryrollout.api.quantities import format_duration
from canaryrollout.core import evidence_formulas as formulas
from canaryrollout.core.snapshot import Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What a verdict rests on. `bad` of `requests` failed or were slow; `line` is where `evidence` decides."""

    metric: Literal["errors", "latency"]
    reporter: Reporter
    requests: float
    bad: float
    limit: float
    stable_requests: float = 0.0
    stable_bad: float = 0.0
    log_evidence: float
    line: float

    @property
    def rate(self) -> float:
        """The canary's observed share of bad requests."""
        return self.bad / self.requests if self.requests > 0.0 else 0.0

    @property
    def evidence(self) -> float:
        """The evidence itself, bounded so that it is always a finite number."""
        return math.exp(min(self.log_evidence, 700.0))


def failure(numbers: Numbers, latency: float, unattributed: float, *, whole_rollout: bool) -> str:
    """Such as "37 of 212 canary requests failed (17.5 %), limit 1 %, stable 0.1 %; evidence 4,100 of 600"."""
    when = " since the rollout began" if whole_rollout else ""
    stable = f", stable {_percent(numbers.stable_bad / numbers.stable_requests)}" if numbers.stable_requests > 0.0 else ""
    lost = f", {unattributed:,.0f} of them without reaching a pod" if unattributed > 0.0 else ""
    return (
        f"{numbers.bad:,.0f} of {numbers.requests:,.0f} canary requests{when} {_fault(numbers.metric, latency)}"
        f" ({_percent(numbers.rate)}){lost}, limit {_percent(numbers.limit)}{stable};"
        f" evidence {_evidence(numbers)} of {numbers.line:,.0f}"
    )


def passed(judged: Sequence[Numbers], latency: float) -> str:
    """Such as "of 1,204 canary requests 1 failed (0.083 %, limit 1 %) …; evidence 25 of 20, 31 of 20"."""
    evidence = " and ".join(f"{_evidence(numbers)} of {numbers.line:,.0f}" for numbers in judged)
    return f"{_tally(judged, latency)}; evidence {evidence}"


def collecting(judged: Sequence[Numbers], latency: float) -> str:
    """What has been seen since the proof, and about how many more requests it takes."""
    needs = [formulas.requests_to_pass(n.bad, n.requests, n.limit, math.log(n.line)) for n in judged]
    finite = [need for need in needs if need is not None]
    if len(finite) < len(needs):
        return f"{_tally(judged, latency)}: too near the limit to tell on which side of it the canary is"
    return f"{_tally(judged, latency)}; about {max(finite):,} more are needed at this rate"


def _tally(judged: Sequence[Numbers], latency: float) -> str:
    parts = (
        f"{n.bad:,.0f} of {n.requests:,.0f} canary requests {_fault(n.metric, latency)} ({_percent(n.rate)}, limit {_percent(n.limit)})"
        for n in judged
    )
    return ", ".join(parts)


def _fault(metric: str, latency: float) -> str:
    return "failed" if metric == "errors" else f"took longer than {format_duration(latency)}"


def _percent(fraction: float) -> str:
    return f"{fraction * 100.0:.3g} %"


def _evidence(numbers: Numbers) -> str:
    if numbers.log_evidence > math.log(1e6):
        return "over 1,000,000"
    return f"{numbers.evidence:,.0f}" if numbers.evidence >= 100.0 else f"{numbers.evidence:.2g}"
