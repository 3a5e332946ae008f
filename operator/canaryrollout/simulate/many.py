"""Many simulated rollouts, on all cores, the same for the same seed."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from random import Random
from typing import Literal

from canaryrollout.api.spec import CanaryRolloutSpec
from canaryrollout.api.status import CanaryRolloutStatus, Phase
from canaryrollout.simulate.replay import EPOCH, Replay, Shell, Watcher
from canaryrollout.simulate.source import SimulatedSource
from canaryrollout.simulate.traffic import Traffic

Outcome = Literal["Promoted", "RolledBack", "Paused", "Unfinished"]

_CHUNKS_PER_PROCESS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one rollout ended. Seconds count from its start."""

    seed: str
    outcome: Outcome
    seconds: float
    """To the promotion, to weight 0, to the pause."""
    weight: int
    """The canary's, when it ended."""
    reason: str
    explanation: str
    requests: int
    """That the canary has answered."""
    failed: int
    """Of those, the ones that failed."""
    since_fault: float | None
    """From the canary's fault (or its first request) to the end."""
    steps: tuple[tuple[int, float], ...]
    """(weight, seconds from the intent to the next one) of the steps that were left behind or ended."""


def run_one(spec: CanaryRolloutSpec, traffic: Traffic, shell: Shell, seed: str, watch: Watcher | None = None) -> Run:
    """One rollout."""
    source = SimulatedSource(traffic, Random(seed), EPOCH, shell)  # noqa: S311 - a simulation
    steps: dict[int, list[float]] = {}

    def note(now: float, status: CanaryRolloutStatus) -> None:
        if status.weight > 0 and status.phase in (Phase.SHIFTING, Phase.ANALYSING, Phase.PAUSED, Phase.PROMOTING):
            span = steps.setdefault(status.weight, [now, now])
            span[1] = now
        if watch is not None:
            watch(now, status)

    replay = Replay(spec, source, shell, watch=note).run()
    status = replay.status
    source.stream.draw_all()
    served = source.stream.served["canary"]
    ended = replay.rolled_back_at if replay.rolled_back_at is not None else replay.now
    rollout = status.rollout
    last = status.history[0] if rollout is None and status.history else None
    fault = source.stream.fault_since
    return Run(
        seed=seed,
        outcome=outcome_of(status, spec),
        seconds=ended - replay.started,
        weight=rollout.step.weight if rollout and rollout.step else last.weight if last else 0,
        reason=rollout.reason if rollout else last.reason if last else "",
        explanation=rollout.explanation if rollout else last.message if last else "",
        requests=served.total,
        failed=served.errors,
        since_fault=None if fault is None else ended - fault,
        steps=tuple((weight, _next_start(steps, weight, ended) - span[0]) for weight, span in sorted(steps.items())),
    )


def _next_start(steps: dict[int, list[float]], weight: int, ended: float) -> float:
    return min((span[0] for other, span in steps.items() if other > weight), default=ended)


def outcome_of(status: CanaryRolloutStatus, spec: CanaryRolloutSpec) -> Outcome:
    """How a replay that left this status ended."""
    if status.phase is Phase.STABLE and status.stable_version == spec.version:
        return "Promoted"
    if status.phase in (Phase.ROLLED_BACK, Phase.ROLLING_BACK):
        return "RolledBack"
    return "Paused" if status.phase is Phase.PAUSED else "Unfinished"


def _run_chunk(spec: CanaryRolloutSpec, traffic: Traffic, shell: Shell, seeds: list[str]) -> list[Run]:
    return [run_one(spec, traffic, shell, seed) for seed in seeds]


def run_many(
    spec: CanaryRolloutSpec, traffic: Traffic, runs: int, *, seed: int = 1, shell: Shell | None = None, processes: int | None = None
) -> list[Run]:
    """`runs` rollouts in the order of their seeds, on `processes` cores (None: all); the same runs whatever their number."""
    shell = shell or Shell()
    workers = min(processes or len(os.sched_getaffinity(0)), runs)
    seeds = [f"{seed}/{index}" for index in range(runs)]
    if workers <= 1:
        return _run_chunk(spec, traffic, shell, seeds)
    count = workers * _CHUNKS_PER_PROCESS
    chunks = [chunk for index in range(count) if (chunk := seeds[index::count])]
    # Ctrl-C ends the workers at once; else each would take the next chunk, and the next.
    with ProcessPoolExecutor(workers, get_context("fork"), signal.signal, (signal.SIGINT, signal.SIG_DFL)) as pool:
        try:
            futures = [pool.submit(_run_chunk, spec, traffic, shell, chunk) for chunk in chunks]
            found = {run.seed: run for future in futures for run in future.result()}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [found[name] for name in seeds]
