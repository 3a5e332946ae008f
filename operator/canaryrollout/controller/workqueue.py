"""A keyed work queue: a key is worked on by one worker at a time, waits at most once, and comes back when asked to.

The semantics are those of Kubernetes' own controllers (client-go's workqueue): adding a key that waits changes nothing but
to bring it forward; adding one that is being worked on runs it once more afterwards.
"""

import asyncio
import contextlib
import heapq
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import structlog

from canaryrollout.kube.errors import ApiError

K = TypeVar("K", bound=Hashable)

FIRST_RETRY_SECONDS = 0.25
LAST_RETRY_SECONDS = 30.0
MOST_DOUBLINGS = 32

log = structlog.get_logger(__name__)


class WorkQueue(Generic[K]):
    """Runs `work(key)` for keys that are due. `work` returns the seconds after which to run again, or None."""

    def __init__(self, work: Callable[[K], Awaitable[float | None]], workers: int = 16) -> None:
        self._work = work
        self._workers = workers
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._running: set[K] = set()
        self._again: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._sequence = 0
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    async def add(self, key: K, delay: float = 0.0) -> None:
        """Make a key due in `delay` seconds, or earlier if it already is."""
        async with self._changed:
            self._schedule(key, time.monotonic() + delay)
            self._changed.notify()

    def _schedule(self, key: K, due: float) -> None:
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._sequence += 1
            heapq.heappush(self._heap, (due, self._sequence, key))

    def depth(self) -> int:
        """Keys that are due and not being worked on. Any thread may ask."""
        now = time.monotonic()
        return sum(1 for due in list(self._due.values()) if due <= now)

    def oldest_wait(self) -> float:
        """Seconds for which the longest waiting key has been due."""
        now = time.monotonic()
        return max((now - due for due in self._due.values() if due <= now), default=0.0)

    async def start(self) -> None:
        """Start the workers."""
        self._tasks = [asyncio.create_task(self._loop(), name=f"worker-{index}") for index in range(self._workers)]

    async def stop(self) -> None:
        """Stop the workers; what they were doing is cancelled and safe to repeat."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _loop(self) -> None:
        while True:
            key = await self._take()
            again = await self._attempt(key)
            async with self._changed:
                self._running.discard(key)
                if key in self._again:
                    self._schedule(key, self._again.pop(key))
                if again is not None:
                    self._schedule(key, time.monotonic() + again)
                self._changed.notify_all()

    async def _take(self) -> K:
        async with self._changed:
            while True:
                wait = self._drop_stale()
                if wait is not None and wait <= 0:
                    _, _, key = heapq.heappop(self._heap)
                    if key not in self._running:
                        del self._due[key]
                        self._running.add(key)
                        return key
                    self._again[key] = self._due.pop(key)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()

    def _drop_stale(self) -> float | None:
        """Forget entries that were brought forward; seconds until the first that counts, None: nothing waits."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] - time.monotonic() if self._heap else None

    async def _attempt(self, key: K) -> float | None:
        try:
            again = await self._work(key)
        except Exception as error:
            self._failures[key] = self._failures.get(key, 0) + 1
            # Not beyond what a float holds: after hours of failures the error would be here, and end the worker.
            doublings = min(self._failures[key] - 1, MOST_DOUBLINGS)
            delay: float = min(FIRST_RETRY_SECONDS * 2**doublings, LAST_RETRY_SECONDS)
            # What the API server answers says where it is from; a trace of it would only hide the line.
            level = log.warning if isinstance(error, ApiError) else log.exception
            level("pass failed, it is repeated", error=f"{type(error).__name__}: {error}", attempt=self._failures[key], retry_in=delay)
            return delay
        self._failures.pop(key, None)
        return again
