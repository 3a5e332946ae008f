"""What the clients saw: the load generator's records, read as they grow, and counted per version."""

import bisect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localmesh.load import Answer

from demo.releases import SLOW_MS

RECENT_SECONDS = 5.0


class Records:
    """The file of a load generator; `answers` are in order of completion. Reads each line once, unlike Load.answers."""

    def __init__(self, path: Path) -> None:
        self.answers: list[Answer] = []
        self._path = path
        self._offset = 0

    def read(self) -> None:
        """Take in what was recorded since the last time; half a line at the end waits for its rest."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(whole)
        self.answers.extend(Answer(**json.loads(line)) for line in whole.splitlines())


@dataclass(frozen=True)
class Seen:
    """Answers of one version, "" where the answer names none. `share` is that of the last seconds, 0 to 1."""

    version: str
    requests: int
    failed: int
    slow: int
    share: float


def is_slow(answer: Answer) -> bool:
    """Whether the answer took longer than the default limit on latency."""
    return answer.ms > SLOW_MS


def tally(answers: Sequence[Answer], since: float, now: float) -> tuple[Seen, ...]:
    """Counts per version of the requests begun at or after `since`, in order of version."""
    first = bisect.bisect_left(answers, since, key=lambda answer: answer.t)
    counts: dict[str, list[int]] = {}
    recent = now - RECENT_SECONDS
    for answer in answers[first:]:
        if answer.start >= since:
            count = counts.setdefault(answer.version, [0, 0, 0, 0])
            count[0] += 1
            count[1] += answer.failed
            count[2] += is_slow(answer)
            count[3] += answer.t >= recent
    lately = sum(count[3] for count in counts.values())
    return tuple(
        Seen(version, total, failed, slow, fresh / lately if lately else 0.0)
        for version, (total, failed, slow, fresh) in sorted(counts.items())
    )
