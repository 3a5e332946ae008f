"""What the reconciler asks of a metrics provider."""

from dataclasses import dataclass
from typing import Protocol

from canaryrollout.core.snapshot import Poll, PollFailure


@dataclass(frozen=True, slots=True)
class Question:
    """Whose requests to count. Workload names are Istio's destination_workload values, all in `namespace`."""

    namespace: str
    service: str
    canary_workloads: tuple[str, ...]
    stable_workloads: tuple[str, ...]
    latency_threshold: float
    """Seconds; a request at or above the matching histogram edge counts as slow."""
    canary_pods: int = 0
    """Ready pods of the canary, each of which must be scraped."""


class MetricsProvider(Protocol):
    """Counts requests in slices of Prometheus time."""

    async def poll(self, question: Question, cursor: float | None) -> Poll | PollFailure:
        """Count what happened since `cursor` (Prometheus time of the last poll; None: only learn the time).

        Never raises for a provider that fails or lies: PollFailure says why.
        """
        ...
