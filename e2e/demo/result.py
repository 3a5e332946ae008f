"""How a release went, as its clients felt it, and whether it ended as it should. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from canaryrollout.api.status import HistoryEntry
from localmesh.load import Answer

from demo.clients import is_slow
from demo.releases import Release


@dataclass(frozen=True)
class Result:
    """A finished release. Times are in seconds.

    `exposure` is the time from the first bad answer that a client got from this release to the proof that all proxies
    were back on stable; None where there was none.
    """

    release: Release
    outcome: str
    reason: str
    message: str
    duration: float
    requests: int
    failed: int
    slow: int
    exposure: float | None

    @property
    def complaint(self) -> str:
        """What is wrong with the way it ended; empty where nothing is."""
        expected, found = _ending(self.release.outcome, self.release.reason), _ending(self.outcome, self.reason)
        return "" if expected == found else f"{self.release.version} should have ended as {expected}, but: {found} ({self.message})"


def _ending(outcome: str, reason: str) -> str:
    return f"{outcome} for {reason}" if reason else outcome


def measure(release: Release, entry: HistoryEntry, answers: Sequence[Answer]) -> Result:
    """The result of a release from its entry in status.history and the clients' records.

    Counted are the requests begun between its start and its end, and later ones that it answered nevertheless.
    """
    undone = entry.outcome != "Promoted"
    during = [
        answer
        for answer in answers
        if answer.start >= entry.started_at and (answer.start < entry.ended_at or (undone and answer.version == release.version))
    ]
    bad = [answer.t for answer in during if (answer.failed or is_slow(answer)) and answer.version != entry.stable]
    return Result(
        release=release,
        outcome=entry.outcome,
        reason=entry.reason,
        message=entry.message,
        duration=entry.ended_at - entry.started_at,
        requests=len(during),
        failed=sum(answer.failed for answer in during),
        slow=sum(is_slow(answer) for answer in during),
        exposure=entry.ended_at - min(bad) if bad and undone else None,
    )
