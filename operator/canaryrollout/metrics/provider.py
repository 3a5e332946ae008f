"""What the reconciler asks of a metrics provider."""

from dataclasses import dataclass
from typing import Protocol

from canaryrollout.core.snapshot import CustomMetricQuery, Poll, PollFailure


@dataclass(frozen=True, slots=True)
class Question:
    """Whose requests to count. Workload names are Istio's destination_workload values, all in `namespace`."""

    namespace: str
    service: str
    canary_workloads: tuple[str, ...]
    stable_workloads: tuple[str, ...]
    latency_threshold: float
    """Seconds; see Counts on thresholds between two edges of the histogram."""
    canary_pods: int = 0
    """Ready pods of the canary, each of which must be scraped."""
    edges: tuple[float, ...] = ()
    """Edges of the duration histogram in milliseconds, as the baseline found them; empty: Istio's default edges."""
    scrape_interval: float | None = None
    """Seconds, as the baseline measured it; None: as the settings say."""
    known_since: float | None = None
    """Prometheus time since which Prometheus has certainly known stable's requests; None: that is not known."""
    boundary: float | None = None
    """Prometheus time at which a slice has to end and the grid begins anew: from it on, requests count towards passing."""
    canary_version: str = ""
    stable_version: str = ""
    metrics: tuple[CustomMetricQuery, ...] = ()
    """Custom metrics of the canary."""


class MetricsProvider(Protocol):
    """Counts requests in slices of Prometheus time."""

    async def poll(self, question: Question, cursor: float | None) -> Poll | PollFailure:
        """Count what happened since `cursor` (Prometheus time of the last poll).

        Slices end on the grid cursor + i x slice length (and at the question's boundary), so that a poll that failed or was
        skipped changes no slice.
        None as the cursor: learn the time, and the baseline (what the hour before was like), and count nothing.

        Never raises for a provider that fails or lies: PollFailure says why.
        """
        ...
