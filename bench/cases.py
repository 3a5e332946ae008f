"""What is measured on the mesh: bad and healthy releases, operator starts."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from arena import Arena, arena, seconds, until
from localmesh.mesh import Mesh

from bench.sampling import Sampler, failed_requests, weight_of

WARM_SECONDS = 5.0
"""Traffic to stable before each release. Stable itself never fails."""

STARTS = 5


@dataclass(frozen=True)
class Rollback:
    """A release of which a share of the answers fails. Times in seconds."""

    outcome: str
    to_zero: float
    """From the first bad answer that a client got to weight 0 in the VirtualService."""
    visible_to_zero: float
    """From when Prometheus showed the errors that decided."""
    acknowledged: float
    """From weight 0 to the proof that every proxy serves it."""
    failed: int
    highest_weight: float


@dataclass(frozen=True)
class Healthy:
    """A healthy release under default settings."""

    outcome: str
    duration: float
    """Seconds from the new version in the spec to the proof that it serves everything."""
    failed: int
    requests: int
    proofs: tuple[float, ...]
    """Seconds from each intended weight to its proof."""
    memory: float
    """Resident memory of the operator afterwards, MiB."""


def rollback(mesh: Mesh, rps: float, error_rate: float) -> Rollback:
    """Release a version that fails, at steady traffic, and watch it go."""
    with arena(mesh, "bench") as place:
        place.rollout("v1")
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=rps) as load:
            mesh.wait(lambda: len(load.answers()) > WARM_SECONDS * rps)
            visible, weight = Sampler(failed_requests(place, "v3"), 0.1), Sampler(weight_of(place, "v3"), 0.02)
            visible.start()
            weight.start()
            place.release("v3", error_rate=error_rate)
            entry = place.wait_outcome("v3", timeout=300)
            visible.stop()
            weight.stop()
            failures = load.failures()
        highest = max(change.value for change in weight.changes)
        if entry["outcome"] != "RolledBack":
            return Rollback(entry["outcome"], float("nan"), float("nan"), float("nan"), len(failures), highest)
        first_bad = min(answer.t for answer in failures)
        counted = float(place.status()["rollout"]["evidence"]["source"]["canary"]["errors"])
        written = weight.first(lambda value: value == 0, after=first_bad)
        return Rollback(
            outcome=entry["outcome"],
            to_zero=written - first_bad,
            visible_to_zero=written - visible.first(lambda value: value >= counted),
            acknowledged=seconds(entry["endedAt"]) - written,
            failed=len(failures),
            highest_weight=highest,
        )


def healthy(mesh: Mesh, rps: float) -> Healthy:
    """Release a version without a fault."""
    with arena(mesh, "bench") as place:
        place.rollout("v1")
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=rps) as load:
            mesh.wait(lambda: len(load.answers()) > WARM_SECONDS * rps)
            place.deploy("v2")
            began = time.time()
            place.edit(version="v2")
            entry = place.wait_outcome("v2", timeout=900)
        duration = seconds(entry["endedAt"]) - began
        proofs = tuple(sync_proofs(place))
        return Healthy(entry["outcome"], duration, len(load.failures()), len(load.answers()), proofs, resident(place))


def sync_proofs(place: Arena) -> Iterator[float]:
    """Seconds from each intended weight to its proof, of all steps so far."""
    started = 0.0
    for event in place.events():
        if event["reason"] == "StepStarted":
            started = seconds(event["eventTime"])
        if event["reason"] == "StepSynced":
            yield seconds(event["eventTime"]) - started


def resident(place: Arena) -> float:
    """Resident memory of the operator in MiB."""
    process = place.operator.process
    if process is None:
        return 0.0
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def operator_starts(mesh: Mesh) -> list[float]:
    """Seconds from the start of the process to /readyz."""
    taken = []
    with arena(mesh, "bench") as place:
        for _ in range(STARTS):
            place.operator.stop()
            began = time.monotonic()
            place.operator.start()
            if not until(place.operator.ready, 30, 0.01):
                raise SystemExit("the operator did not become ready")
            taken.append(time.monotonic() - began)
    return taken
