"""Our engine against the usual policies on the same traffic: `make bench-compare`. Prints the table of docs/explanation/comparison.md."""

import argparse
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.simulate.many import Run, run_one
from canaryrollout.simulate.replay import Shell
from canaryrollout.simulate.summary import quantile, share
from canaryrollout.simulate.traffic import Traffic

from bench.peers import Policy, peers

WEIGHTS = (5, 10, 25, 50, 100)
_CHUNK = 25


def engine(traffic: Traffic, weights: tuple[int, ...], seed: str) -> Run:
    """The real engine and machine with default settings."""
    spec = CanaryRolloutSpec.model_validate({"service": "reviews", "version": "v2", "steps": [{"weight": weight} for weight in weights]})
    return run_one(spec, traffic, Shell(), seed)


def rolled_back(runs: Sequence[Run]) -> str:
    """The share of rollbacks, with the upper end of its interval."""
    found = share(sum(run.outcome == "RolledBack" for run in runs), len(runs))
    paused = sum(run.outcome == "Paused" for run in runs)
    waits = f"; {paused / len(runs):.0%} paused" if paused else ""
    return f"{found.share:.2%} (at most {found.high:.2%}){waits}" if found.share < 0.5 else f"{found.share:.1%}{waits}"


def failed(runs: Sequence[Run]) -> str:
    """Failed requests of the median run."""
    return f"{quantile([float(run.failed) for run in runs], 0.5):,.0f}"


def delay(runs: Sequence[Run]) -> str:
    """Median time from the first bad request to weight 0, of the runs that came to it."""
    found = [run.since_fault for run in runs if run.outcome == "RolledBack" and run.since_fault is not None]
    missed = len(runs) - len(found)
    rest = f"; {missed / len(runs):.0%} not rolled back" if missed else ""
    return f"{quantile(found, 0.5):.0f} s{rest}" if found else "never"


def took(runs: Sequence[Run]) -> str:
    """Median time to the promotion."""
    found = [run.seconds for run in runs if run.outcome == "Promoted"]
    return f"{quantile(found, 0.5):.0f} s" if found else "never"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    traffic: Traffic
    figure: Callable[[Sequence[Run]], str]
    weights: tuple[int, ...] = WEIGHTS


def _healthy(rps: float, burst: int = 1) -> Traffic:
    return Traffic(rps=rps, canary_errors=0.001, stable_errors=0.001, burst=burst)


ROWS = (
    Row("healthy, 0.1 % errors, 5 requests/s: rolled back", _healthy(5), rolled_back),
    Row("healthy, 0.1 % in clumps of 10, 5 requests/s: rolled back", _healthy(5, 10), rolled_back),
    Row("healthy, 0.1 % in clumps of 10, 50 requests/s: rolled back", _healthy(50, 10), rolled_back),
    Row("50 % faults, 500 requests/s: failed requests", Traffic(rps=500, canary_errors=0.5, stable_errors=0.001), failed),
    Row("50 % faults, 50 requests/s: failed requests", Traffic(rps=50, canary_errors=0.5, stable_errors=0.001), failed),
    Row(
        "5 % faults, 50 requests/s, first weight 10: delay",
        Traffic(rps=50, canary_errors=0.05, stable_errors=0.001),
        delay,
        weights=(10, 25, 50, 100),
    ),
    Row("0.5 % (5 x stable), 500 requests/s: rolled back", Traffic(rps=500, canary_errors=0.005, stable_errors=0.001), rolled_back),
    Row(
        "20 % faults from weight 50 on, 50 requests/s: failed requests",
        Traffic(rps=50, canary_errors=0.2, stable_errors=0.001, fault_from_weight=50),
        failed,
    ),
    Row("healthy, 0.1 % errors, 50 requests/s: time to promotion", _healthy(50), took),
    Row("weak spot: 1.5 %, 5 requests/s: delay", Traffic(rps=5, canary_errors=0.015, stable_errors=0.001), delay),
    Row("weak spot: 1.5 %, 5 requests/s: failed requests", Traffic(rps=5, canary_errors=0.015, stable_errors=0.001), failed),
    Row("weak spot: healthy, 0.1 % errors, 5 requests/s: time to promotion", _healthy(5), took),
)


def _runs(policy: Policy, row: Row, seeds: list[str]) -> list[Run]:
    return [policy(row.traffic, row.weights, seed) for seed in seeds]


class Bench:
    """Runs of each policy on each traffic, each made once however many rows show them."""

    def __init__(self, pool: ProcessPoolExecutor, policies: Sequence[Policy], runs: int, seed: int) -> None:
        self._pool = pool
        self._policies = policies
        self._seeds = [[f"{seed}/{index}" for index in range(start, min(start + _CHUNK, runs))] for start in range(0, runs, _CHUNK)]
        self._made: dict[tuple[Traffic, tuple[int, ...]], list[list[Run]]] = {}

    def cells(self, row: Row) -> list[str]:
        """The row's figure for each policy."""
        key = row.traffic, row.weights
        if key not in self._made:
            pending = [[self._pool.submit(_runs, policy, row, part) for part in self._seeds] for policy in self._policies]
            self._made[key] = [[run for future in futures for run in future.result()] for futures in pending]
        return [row.figure(runs) for runs in self._made[key]]


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="rollouts per cell")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    policies = [*peers(), ("canaryrollout", engine)]
    print(f"| limit 1 %, scrapes every 15 s, {given.runs:,} rollouts per cell | " + " | ".join(name for name, _ in policies) + " |")
    print("|" + "---|" * (len(policies) + 1))
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("fork")) as pool:
        bench = Bench(pool, [policy for _, policy in policies], given.runs, given.seed)
        for row in ROWS:
            print(f"| {row.name} | " + " | ".join(bench.cells(row)) + " |", flush=True)


if __name__ == "__main__":
    main()
