"""The demo for pipes and files: one line for each change worth a line. Pure."""

from collections.abc import Iterator

from demo.clients import Seen
from demo.frame import Frame


def clock(seconds: float) -> str:
    """Minutes and seconds: 83.4 → "1:23"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def changes(before: Frame | None, after: Frame) -> Iterator[str]:
    """What happened between two moments, oldest first."""
    now = clock(after.now - after.began)
    known = set(before.events) if before else set()
    for event in after.events:
        if event not in known:
            yield f"[{clock(max(event.time - after.began, 0.0))}] {event.reason}: {event.note}"
    if before is None or before.activity != after.activity:
        yield f"[{now}] {after.activity}"
    if before is not None and _milestone(before, after):
        yield f"[{now}] clients so far: {'; '.join(_counted(seen) for seen in after.clients)}"


def _milestone(before: Frame, after: Frame) -> bool:
    """Whether a step or a release has ended."""
    old, new = before.status, after.status
    return len(new.history) > len(old.history) or bool(old.step and new.step and old.step != new.step)


def _counted(seen: Seen) -> str:
    slow = f", {seen.slow:,} slow" if seen.slow else ""
    return f"{seen.version or 'no version'} {seen.requests:,} requests, {seen.failed:,} failed{slow}"
