"""What the README reports, measured on the running mesh: `make bench`. Prints a Markdown table; asserts nothing about time."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from arena import Arena, arena, seconds, until
from localmesh.mesh import Mesh

from bench.sampling import Sampler, failed_requests, weight_of

RUNS = 3
STARTS = 5
RATE = 50.0


def rollback(mesh: Mesh) -> dict[str, float]:
    """One release of which half the answers fail, at the first step: seconds from stage to stage, and failed requests."""
    with arena(mesh, "bench") as place:
        place.rollout("v1")
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=RATE) as load:
            mesh.wait(lambda: len(load.answers()) > 5 * RATE)
            visible, weight = Sampler(failed_requests(place, "v3"), 0.1), Sampler(weight_of(place, "v3"), 0.02)
            visible.start()
            weight.start()
            place.release("v3", error_rate=0.5)
            status = place.wait_phase("RolledBack", timeout=180)
            visible.stop()
            weight.stop()
            first_bad = min(answer.t for answer in load.failures())
        counted = float(status["rollout"]["evidence"]["source"]["canary"]["errors"])
        seen = visible.first(lambda value: value >= counted)
        written = weight.first(lambda value: value == 0, after=first_bad)
        return {
            "first bad answer to weight 0": written - first_bad,
            "evidence visible to weight 0": written - seen,
            "weight 0 to acknowledged by all": seconds(status["history"][0]["endedAt"]) - written,
            "failed requests": float(len(load.failures())),
        }


def sync_proofs(place: Arena) -> Iterator[float]:
    """Seconds from each intended weight to its proof, of all steps so far."""
    started = 0.0
    for event in place.events():
        if event["reason"] == "StepStarted":
            started = seconds(event["eventTime"])
        if event["reason"] == "StepSynced":
            yield seconds(event["eventTime"]) - started


def healthy(mesh: Mesh) -> tuple[list[float], float, int, int]:
    """A healthy release: its sync proofs, the operator's memory (MiB) after it, failed and all client requests."""
    with arena(mesh, "bench") as place:
        place.rollout("v1")
        place.wait_phase("Stable")
        with mesh.load(place.namespace, rps=300) as load:
            place.release("v2")
            place.wait_outcome("v2")
        return list(sync_proofs(place)), resident(place), len(load.failures()), len(load.answers())


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


def row(name: str, values: Sequence[float], unit: str) -> str:
    """One line of the table: minimum, median, maximum."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"| {name} | {low:.2f} | {middle:.2f} | {high:.2f} | {unit} | {len(values)} |"


def main() -> None:
    """Run everything and print the table."""
    mesh = Mesh.attach()
    rollbacks = [rollback(mesh) for _ in range(RUNS)]
    proofs, memory, failed, requests = healthy(mesh)
    starts = operator_starts(mesh)
    print("| figure | min | median | max | unit | n |")
    print("|---|---|---|---|---|---|")
    for name in rollbacks[0]:
        print(row(name, [run[name] for run in rollbacks], "requests" if name == "failed requests" else "s"))
    print(row("weight intended to proved by all proxies", proofs, "s"))
    print(row("operator start to ready", starts, "s"))
    print(row("operator memory after a rollout", [memory], "MiB"))
    print(f"\nRollbacks: half the answers fail, {RATE:g} requests/s, 5 % step, scrapes every 5 s.")
    print(f"Healthy release at 300 requests/s: {failed} of {requests:,} client requests failed.")


if __name__ == "__main__":
    main()
