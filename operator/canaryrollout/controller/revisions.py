"""The revisions of Istio objects, in order and without a gap, as the watches bring them (see core.standing for why).

A watch delivers every revision of an object; what may be missing in between is announced by a new list (kopf: an event without
type). Of every object the latest revision is remembered, of those that somebody follows also the objects themselves.
"""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

FOLLOWED_SECONDS = 30.0
"""So long after the last question about an object its revisions are kept."""
KEPT = 128
"""Revisions of one object; with more between two questions, the first ones count as missed."""


@dataclass(slots=True)
class _Followed:
    """The revisions of one object since `anchor`, oldest first."""

    anchor: str
    wanted_at: float
    items: deque[Object] = field(default_factory=deque)

    def add(self, item: Object) -> None:
        self.items.append(item)
        if len(self.items) > KEPT:
            self.anchor = _revision(self.items.popleft())

    def knows(self, revision: str) -> bool:
        """Whether what came after a revision is here. What is not known now never will be: only later ones are added."""
        return revision == self.anchor or any(revision == _revision(item) for item in self.items)

    def between(self, first: str, last: str) -> list[Object] | None:
        """The objects after revision `first`, which is known, up to `last`; None while that has not come."""
        revisions = [self.anchor, *map(_revision, self.items)]
        if last not in revisions:
            return None
        return list(self.items)[revisions.index(first) : revisions.index(last)]


class Revisions:
    """What the watches brought. One instance serves all rollouts."""

    def __init__(self) -> None:
        self._latest: dict[str, str] = {}
        self._followed: dict[str, _Followed] = {}
        self._changed = asyncio.Condition()

    async def seen(self, type: str | None, item: Object) -> None:
        """One event of a watch, in order. Without a type it comes from a list, and what was before it may have been missed."""
        uid, revision = str(item["metadata"]["uid"]), _revision(item)
        known = self._latest.get(uid)
        self._latest[uid] = revision
        if type == "DELETED":
            self._latest.pop(uid, None)
            self._followed.pop(uid, None)
            return
        followed = self._followed.get(uid)
        if followed is None or known == revision:
            return
        if time.monotonic() - followed.wanted_at > FOLLOWED_SECONDS:
            del self._followed[uid]
            return
        if type is None:
            self._followed[uid] = _Followed(revision, followed.wanted_at)
        else:
            followed.add(item)
        async with self._changed:
            self._changed.notify_all()

    async def after(self, revision: str, item: Object, patience: float) -> list[Object] | None:
        """Every revision of the object after `revision` up to that of `item`; None where some may be missing.

        A watch is a little behind what is read: `patience` is how many seconds to wait for it.
        """
        uid, last = str(item["metadata"]["uid"]), _revision(item)
        until = time.monotonic() + patience
        async with self._changed:
            while True:
                self.follow(item)
                followed = self._followed.get(uid)
                found = followed.between(revision, last) if followed is not None and followed.knows(revision) else None
                left = until - time.monotonic()
                if found is not None or left <= 0 or followed is None or not followed.knows(revision):
                    return found
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._changed.wait()

    def follow(self, item: Object) -> None:
        """Keep what comes after the latest revision: somebody is going to ask."""
        uid, now = str(item["metadata"]["uid"]), time.monotonic()
        followed = self._followed.get(uid)
        if followed is not None:
            followed.wanted_at = now
        elif uid in self._latest:
            self._followed[uid] = _Followed(self._latest[uid], now)


def _revision(item: Object) -> str:
    return str(item["metadata"]["resourceVersion"])
