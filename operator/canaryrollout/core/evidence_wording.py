"""The evidence in words: one sentence for the engineer on call, with the numbers it rests on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from canaryrollout.api.quantities import format_duration, format_multiple
from canaryrollout.core.snapshot import Problem, Reporter

Test = Literal["absolute", "relative", "catastrophe"]

_MOST_TOLD = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What a verdict rests on. `bad` of `requests` failed or were slow; `line` is where `evidence` decides."""

    metric: Literal["errors", "latency", "custom"]
    name: str = ""
    """Of a custom metric."""
    reporter: Reporter | None = None
    test: Test = "absolute"
    requests: float
    bad: float
    limit: float
    stable_requests: float = 0.0
    stable_bad: float = 0.0
    increase: float = math.inf
    evidence: float
    line: float
    missing: float = 0.0
    """ln of what a pass still lacks, negative while it lacks anything."""
    fresh: float = 1.0
    """By how much this step has multiplied the evidence for the canary."""
    fresh_line: float = 1.0

    @property
    def rate(self) -> float:
        """The canary's observed share of bad requests."""
        return self.bad / self.requests if self.requests > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Besides:
    """What a failure's numbers hold, or do not hold, besides answers that failed."""

    unattributed: float = 0.0
    """Of the bad requests, those that reached no pod."""
    aborted: float = 0.0
    """Further requests whose client gave up, which count in comparison with stable."""


def failure(numbers: Numbers, latency: float, besides: Besides, *, whole_rollout: bool) -> str:
    """Such as "37 of 212 canary requests failed (17.5 %), limit 1 %, stable 0.1 %; evidence 4,100 of 100"."""
    when = " since the rollout began" if whole_rollout else ""
    stable = f", stable {percent(numbers.stable_bad / numbers.stable_requests)}" if numbers.stable_requests > 0.0 else ""
    lost = f", {besides.unattributed:,.0f} of them without reaching a pod" if besides.unattributed >= 1.0 else ""
    lost += f", and clients gave up {besides.aborted:,.0f} more" if besides.aborted >= 1.0 else ""
    allowed = f"limit {percent(numbers.limit)}"
    if numbers.test == "relative":
        allowed += f" and {format_multiple(numbers.increase)} stable's"
    return (
        f"{numbers.bad:,.0f} of {numbers.requests:,.0f} canary requests{when} {_fault(numbers, latency)}"
        f" ({percent(numbers.rate)}){lost}, {allowed}{stable};"
        f" evidence {_evidence(numbers)} of {numbers.line:,.0f}"
    )


def custom_failure(numbers: Numbers) -> str:
    """Such as "12 of 80 orders-failed were bad (15 %), limit 1 %; evidence 300 of 100"."""
    counted = f"{numbers.bad:,.0f} of {numbers.requests:,.0f} {numbers.name} were bad ({percent(numbers.rate)})"
    limit = f", limit {percent(numbers.limit)}" if math.isfinite(numbers.limit) else ""
    return f"{counted}{limit}; evidence {_evidence(numbers)} of {numbers.line:,.0f}"


def custom_value(name: str, value: float, minimum: float | None, maximum: float | None, times: int) -> str:
    """Such as "queue-depth is 120, must be at most 100 (3 times in a row)"."""
    return f"{name} is {value:g}, must be {bounds(minimum, maximum)} ({times} times in a row)"


def bounds(minimum: float | None, maximum: float | None) -> str:
    """The bounds of a value in words."""
    if minimum is None:
        return f"at most {maximum:g}"
    return f"at least {minimum:g}" if maximum is None else f"between {minimum:g} and {maximum:g}"


def passed(judged: Sequence[Numbers], latency: float) -> str:
    """Such as "1 of 1,204 canary requests failed (0.083 %, limit 1 %), …; evidence 25 and 31 of 20"."""
    evidence = " and ".join(_evidence(numbers) for numbers in judged)
    return f"{_tally(judged, latency)}; evidence {evidence} of {judged[0].line:,.0f}"


def collecting(judged: Sequence[Numbers], latency: float, needs: Sequence[int | None]) -> str:
    """What has been seen since the proof, and about how many more requests it takes."""
    finite = [need for need in needs if need is not None]
    if len(finite) < len(needs):
        return f"{_tally(judged, latency)}: too near the limit to tell on which side of it the canary is"
    if not any(finite):
        return f"{_tally(judged, latency)}; more is needed of {', '.join(n.name for n in judged if n.metric == 'custom')}"
    return f"{_tally(judged, latency)}; about {max(finite):,} more are needed at this rate"


def sentences(first: str, problems: Sequence[Problem]) -> str:
    """Several messages as one."""
    return "; ".join([first, *(problem.message for problem in problems)])


def percent(fraction: float) -> str:
    """Such as "17.5 %"."""
    return f"{fraction * 100.0:.3g} %"


def _tally(judged: Sequence[Numbers], latency: float) -> str:
    parts = (
        f"{n.bad:,.0f} of {n.requests:,.0f} {n.name or 'canary requests'} {_fault(n, latency)}"
        f" ({percent(n.rate)}, limit {percent(n.limit)})"
        for n in judged
    )
    return ", ".join(parts)


def _fault(numbers: Numbers, latency: float) -> str:
    if numbers.metric == "custom":
        return "were bad"
    return "failed" if numbers.metric == "errors" else f"took longer than {format_duration(latency)}"


def _evidence(numbers: Numbers) -> str:
    value, most = numbers.evidence, max(_MOST_TOLD, numbers.line)
    if value > most:
        return f"over {most:,.0f}"
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.2g}"
