"""Looking at the rollout, its Events and the clients' records twice a second, beside what the demo does."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import aiohttp
from arena import Arena
from localmesh.errors import LocalMeshError
from localmesh.kube import ApiError

from demo.clients import Records, tally
from demo.display import Display
from demo.errors import DemoError
from demo.frame import Frame, Split, acknowledged, events_of, status_of, steps_of
from demo.releases import Release

INTERVAL = 0.5

_PASSING = (ApiError, aiohttp.ClientError, LocalMeshError, TimeoutError)
"""A busy machine may not answer for a moment; the next look does."""


@dataclass(frozen=True)
class Stage:
    """What the demo is at. Clients are counted from `since` (Unix seconds) on."""

    activity: str
    release: Release | None = None
    since: float = 0.0


@dataclass
class Watch:
    """Shows frames while its block runs. The main thread replaces `stage`; the watch's own thread only reads it."""

    place: Arena
    records: Records
    display: Display
    began: float
    stage: Stage
    _acknowledged: Split = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        if error is None:
            self._look()

    def say(self, activity: str) -> None:
        """The demo does something else now."""
        self.stage = replace(self.stage, activity=activity)

    def begin(self, release: Release) -> None:
        """Another release is under way; its clients count from now on."""
        self.stage = Stage(f"deploying {release.version}", release, time.time())

    def until(self, predicate: Callable[[], object], timeout: float, what: str) -> None:
        """Wait until something holds. DemoError when it does not in time, or when the operator is gone."""
        deadline = time.monotonic() + timeout
        while not predicate():
            if self._failure is not None:
                raise DemoError(f"the view failed: {self._failure!r}") from self._failure
            if not self.place.operator.running:
                raise DemoError("the operator has ended")
            if time.monotonic() > deadline:
                raise DemoError(
                    f"{what} took longer than {timeout:.0f} s: {self.place.status().get('message') or 'no word of the operator'}"
                )
            time.sleep(0.1)

    def linger(self, seconds: float) -> None:
        """Time to look at the screen while the traffic goes on."""
        deadline = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > deadline, seconds + 1.0, "a pause")

    def _run(self) -> None:
        try:
            while not self._over.wait(INTERVAL):
                with contextlib.suppress(*_PASSING):
                    self._look()
        except Exception as error:  # for the main thread to raise
            self._failure = error

    def _look(self) -> None:
        """Take one look and show it."""
        stage = self.stage
        self.records.read()
        found = self.place.mesh.find(self.place.path()) or {}
        status = status_of(found)
        self._acknowledged = acknowledged(self._acknowledged, status)
        now = time.time()
        self.display.show(
            Frame(
                now=now,
                began=self.began,
                activity=stage.activity,
                release=stage.release,
                steps=steps_of(found),
                status=status,
                acknowledged=self._acknowledged,
                clients=tally(self.records.answers, stage.since, now),
                events=events_of(self.place.events()),
            )
        )
