"""The tables of `make bench`, with the peers' figures beside ours."""

import math
import statistics
from collections.abc import Sequence

from bench.cases import Healthy, Rollback

PEERS_SOURCE = "measured on the same mesh: Flagger 1.36 (interval 10 s, threshold 5), Argo Rollouts 1.10 (canary subset query, 30 s pauses)"

PEERS = {
    "50 % errors at 50 rps": "Flagger 59 s, 75 failed; Argo Rollouts 38 s, 50 to 61 failed, at 10 %",
    "50 % errors at 300 rps": "Flagger 60 s, 464 failed",
    "5 % errors at 50 rps": "Flagger 59 to 80 s, 9 to 48 failed, up to 25 %; Argo Rollouts 48 to 78 s, 10 to 22 failed, up to 25 %",
    "healthy at 50 rps": "Flagger 73 to 79 s; Argo Rollouts 123 s",
}
"""By case. Steps of 5, 10, 25 and 50 %, scrapes every 5 s; failed are the clients' requests that failed until weight 0."""


def rollbacks(name: str, runs: Sequence[Rollback]) -> list[str]:
    """Lines of a table on one bad release; a run that was not rolled back shows in the first."""
    undone = sum(run.outcome == "RolledBack" for run in runs)
    lines = [f"| {name}: rolled back | {undone} of {len(runs)} | | | runs | {PEERS.get(name, '')} |"]
    lines.append(row("first bad answer to weight 0", [run.to_zero for run in runs], "s"))
    lines.append(row("failed requests", [run.failed for run in runs], "requests"))
    lines.append(row("highest weight", [run.highest_weight for run in runs], "%"))
    lines.append(row("evidence visible to weight 0", [run.visible_to_zero for run in runs], "s"))
    lines.append(row("weight 0 to acknowledged by all", [run.acknowledged for run in runs], "s"))
    return lines


def releases(name: str, runs: Sequence[Healthy]) -> list[str]:
    """Lines of a table on one healthy release."""
    promoted = sum(run.outcome == "Promoted" for run in runs)
    lines = [f"| {name}: promoted | {promoted} of {len(runs)} | | | runs | {PEERS.get(name, '')} |"]
    lines.append(row("duration", [run.duration for run in runs], "s"))
    lines.append(row(f"failed of {sum(run.requests for run in runs):,} requests", [run.failed for run in runs], "requests"))
    lines.append(row("weight intended to proved by all proxies", [proof for run in runs for proof in run.proofs], "s"))
    lines.append(row("operator memory afterwards", [run.memory for run in runs], "MiB"))
    return lines


def row(name: str, values: Sequence[float], unit: str) -> str:
    """One line: minimum, median, maximum of what was measured."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return f"| {name} | | | | {unit} | |"
    low, middle, high = min(known), statistics.median(known), max(known)
    return f"| {name} | {low:.4g} | {middle:.4g} | {high:.4g} | {unit} | |"


HEADER = ["| figure | min | median | max | unit | peers |", "|---|---|---|---|---|---|"]
