"""One moment of the demo as a value: what the API server and the clients say, ready to be shown. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from canaryrollout.api.status import CanaryRolloutStatus, HistoryEntry, Phase

from demo.clients import Seen
from demo.releases import Release

Object = Mapping[str, Any]
Split = Mapping[str, int]
"""Percent of the traffic by version; sums to 100."""

_PROVING = frozenset({Phase.ADOPTING, Phase.PREPARING, Phase.SHIFTING, Phase.PROMOTING})
_SERVED_BY_STABLE = frozenset({Phase.STABLE, Phase.PREPARING, Phase.ROLLED_BACK})


@dataclass(frozen=True)
class Told:
    """A Kubernetes Event."""

    time: float
    reason: str
    note: str
    warning: bool


@dataclass(frozen=True)
class Frame:
    """One moment. `now` and `began` are Unix seconds; `release` is the one under way, or the last one."""

    now: float
    began: float
    activity: str
    release: Release | None
    steps: tuple[int, ...]
    status: CanaryRolloutStatus
    acknowledged: Split
    clients: tuple[Seen, ...]
    events: tuple[Told, ...]

    @property
    def wanted(self) -> Split:
        """The weights that the operator means to have; empty before it has adopted the service."""
        return split_of(self.status)

    @property
    def evidence(self) -> str:
        """What is known about the canary so far, in the operator's words; nothing is judged while proxies are waited for."""
        rollout, proxies = self.status.rollout, self.status.proxies
        if self.status.phase in _PROVING and proxies is not None and proxies.lagging:
            return f"waiting for {', '.join(proxies.lagging)}"
        if rollout is None:
            return ""
        analysis = next((c.message for c in self.status.conditions if c.type == "Analysis"), "")
        return rollout.explanation or analysis

    def ended(self, release: Release) -> HistoryEntry | None:
        """How a release ended; None while it has not."""
        return next((entry for entry in self.status.history if entry.version == release.version), None)


def split_of(status: CanaryRolloutStatus) -> Split:
    """The weights that a status intends."""
    stable, rollout = status.stable_version, status.rollout
    if not stable:
        return {}
    shares = {stable: 100 - status.weight, **({rollout.version: status.weight} if rollout else {})}
    return {version: weight for version, weight in shares.items() if weight}


def acknowledged(before: Split, status: CanaryRolloutStatus) -> Split:
    """The weights that all proxies are proved to serve; `before` are those of the last look, which stand until a new proof."""
    if status.phase in _SERVED_BY_STABLE and status.stable_version:
        return {status.stable_version: 100}
    step = status.rollout.step if status.rollout else None
    proved = step is not None and step.synced_at is not None and status.weight == step.weight
    return split_of(status) if proved else before


def steps_of(rollout: Object) -> tuple[int, ...]:
    """The weights of a CanaryRollout's steps, defaults filled in by the API server."""
    return tuple(step["weight"] for step in rollout.get("spec", {}).get("steps", ()))


def status_of(rollout: Object) -> CanaryRolloutStatus:
    """The status of a CanaryRollout; the empty one before the operator's first visit."""
    return CanaryRolloutStatus.model_validate(rollout.get("status") or {})


def events_of(raw: Sequence[Object]) -> tuple[Told, ...]:
    """Events of the API, in their order."""
    return tuple(
        Told(datetime.fromisoformat(item["eventTime"]).timestamp(), item["reason"], item["note"], item["type"] == "Warning") for item in raw
    )
