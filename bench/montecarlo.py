"""How often the engine rolls back what it should not: `python -m bench.montecarlo` (one to two hours on two cores).

Each row is a traffic in which the canary keeps its limits; the share of rollbacks is shown with its exact 95 % interval.
"""

import argparse
import time
from dataclasses import dataclass
from typing import Any

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.simulate.many import Run, run_many
from canaryrollout.simulate.summary import Share, share
from canaryrollout.simulate.traffic import Traffic

# A canary at its limit hardly ever passes: going on after five minutes takes it through every weight of the rollout.
THROUGH_ALL_STEPS = {"maxDuration": "5m", "onInconclusive": "promote"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A canary within its limits."""

    name: str
    traffic: Traffic
    runs: int
    """At full size."""
    analysis: dict[str, Any]
    most: float
    """The share of rollbacks that is promised at most."""

    @property
    def spec(self) -> CanaryRolloutSpec:
        """Everything but the analysis is the default."""
        return CanaryRolloutSpec.model_validate({"service": "reviews", "version": "v2", "analysis": self.analysis})

    def run(self, runs: int | None = None, seed: int = 1, processes: int | None = None) -> list[Run]:
        """The rollouts."""
        return run_many(self.spec, self.traffic, runs or self.runs, seed=seed, processes=processes)


BOUNDARY = (
    Case(
        name="canary and stable exactly at 1 %, 50 requests/s",
        traffic=Traffic(rps=50, canary_errors=0.01, stable_errors=0.01),
        runs=10_000,
        analysis=THROUGH_ALL_STEPS,
        most=0.01,
    ),
    Case(
        name="canary exactly at 1 % and at twice stable, 50 requests/s",
        traffic=Traffic(rps=50, canary_errors=0.01, stable_errors=0.005),
        runs=10_000,
        analysis=THROUGH_ALL_STEPS,
        most=0.01,
    ),
    Case(
        name="errors and slow answers both exactly at 1 %, 500 requests/s",
        traffic=Traffic(rps=500, canary_errors=0.01, stable_errors=0.01, canary_slow=0.01, stable_slow=0.01),
        runs=10_000,
        analysis=THROUGH_ALL_STEPS,
        most=0.01,
    ),
)
BURSTY = tuple(
    Case(
        name=f"healthy, 0.1 % in clumps of 10, {rps:,} requests/s",
        traffic=Traffic(rps=rps, canary_errors=0.001, stable_errors=0.001, burst=10),
        runs=2_000,
        analysis={},
        most=0.005,
    )
    for rps in (5, 50, 500, 5_000)
)
CASES = BOUNDARY + BURSTY


def rollbacks(runs: list[Run]) -> Share:
    """How many were rolled back."""
    return share(sum(run.outcome == "RolledBack" for run in runs), len(runs))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, help="rollouts per row, instead of the full size")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print("| the canary keeps its limits | rollouts | rolled back | 95 % interval | promised | seconds |\n|---|---|---|---|---|---|")
    for case in CASES:
        if given.only in case.name:
            began = time.monotonic()
            found = rollbacks(case.run(given.runs, given.seed))
            interval = f"{found.low:.3%} to {found.high:.3%}"
            taken = time.monotonic() - began
            print(f"| {case.name} | {found.of:,} | {found.share:.3%} | {interval} | {case.most:.1%} | {taken:.0f} |", flush=True)


if __name__ == "__main__":
    main()
