"""What many runs say together: shares with exact intervals, and quantiles."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from canaryrollout.simulate.many import Outcome, Run

_BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with the exact 95 % interval (Clopper and Pearson, 1934) of what is behind it."""

    count: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """As a fraction."""
        return self.count / self.of if self.of else 0.0


def share(count: int, of: int, confidence: float = 0.95) -> Share:
    """The interval that contains the true share with `confidence`, at least."""
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else _solve(lambda p: 1.0 - _cumulative(count - 1, of, p), tail)
    high = 1.0 if count == of else _solve(lambda p: 1.0 - _cumulative(count, of, p), 1.0 - tail)
    return Share(count, of, low, high)


def _solve(rising: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2.0


def _cumulative(k: int, n: int, p: float) -> float:
    """P(at most k of n)."""
    if p <= 0.0 or p >= 1.0:
        return 1.0 if p <= 0.0 or k >= n else 0.0
    log_p, log_q, top = math.log(p), math.log1p(-p), math.lgamma(n + 1)
    terms = (top - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q for i in range(k + 1))
    return min(math.fsum(math.exp(term) for term in terms), 1.0)


def quantile(values: Sequence[float], fraction: float) -> float:
    """The value below which `fraction` of them lie; nan of none."""
    ordered = sorted(values)
    return ordered[min(int(fraction * len(ordered)), len(ordered) - 1)] if ordered else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The runs that ended alike."""

    outcome: Outcome
    share: Share
    seconds: tuple[float, float]
    """Median and 95th percentile."""
    since_fault: tuple[float, float]
    """The same, from the canary's first bad request on."""
    failed: tuple[float, float]
    weights: dict[int, int]
    """How many ended at which weight of the canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """How long a step took in the runs that left it behind."""

    weight: int
    runs: int
    seconds: tuple[float, float]


def groups(runs: Sequence[Run]) -> list[Group]:
    """By outcome, the commonest first."""
    outcomes = sorted({run.outcome for run in runs}, key=lambda outcome: -sum(run.outcome == outcome for run in runs))
    return [_group(outcome, [run for run in runs if run.outcome == outcome], len(runs)) for outcome in outcomes]


def _group(outcome: Outcome, alike: Sequence[Run], of: int) -> Group:
    weights = sorted(run.weight for run in alike)
    return Group(
        outcome=outcome,
        share=share(len(alike), of),
        seconds=_middle_and_end(run.seconds for run in alike),
        since_fault=_middle_and_end(run.since_fault for run in alike if run.since_fault is not None),
        failed=_middle_and_end(float(run.failed) for run in alike),
        weights={weight: weights.count(weight) for weight in dict.fromkeys(weights)},
    )


def step_times(runs: Sequence[Run]) -> list[StepTime]:
    """For each weight that was passed."""
    passed: dict[int, list[float]] = {}
    for run in runs:
        done = run.steps if run.outcome == "Promoted" else run.steps[:-1]
        for weight, seconds in done:
            passed.setdefault(weight, []).append(seconds)
    return [StepTime(weight=w, runs=len(s), seconds=_middle_and_end(s)) for w, s in sorted(passed.items())]


def median_run(runs: Sequence[Run]) -> Run:
    """The run of the commonest outcome that took the middle of the time."""
    commonest = groups(runs)[0].outcome
    alike = sorted((run for run in runs if run.outcome == commonest), key=lambda run: (run.seconds, run.seed))
    return alike[len(alike) // 2]


def _middle_and_end(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    return quantile(found, 0.5), quantile(found, 0.95)
