"""What the demo releases, and how each release should end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SERVICE = "reviews"
FIRST_VERSION = "v1"

RATE = 300.0
"""Client requests per second: at 5 % of the traffic, the evidence for a healthy release is there within half a minute."""

SLOW_MS = 500.0
"""A client's answer counts as slow from here on: the default of spec.analysis.maxP99Latency."""


@dataclass(frozen=True)
class Release:
    """A version of the service. `faults` are those of localmesh.sample.reviews; `timeout` is in seconds."""

    version: str
    nature: str
    outcome: str
    reason: str
    timeout: float
    faults: Mapping[str, Any] = field(default_factory=dict)


RELEASES = (
    Release("v2", "healthy", "Promoted", "", 200.0),
    Release("v3", "half of its answers are errors", "RolledBack", "ErrorRate", 90.0, {"error_rate": 0.5}),
    Release("v4", "answers after 800 ms", "RolledBack", "Latency", 90.0, {"latency_ms": 800}),
)
