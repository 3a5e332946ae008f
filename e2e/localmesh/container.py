"""One container of a pod: a process that is probed, and started again when it ends."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import aiohttp

from localmesh.errors import LocalMeshError
from localmesh.kube import Object
from localmesh.podspec import Probe
from localmesh.process import Process

UNREADY_PROBE_PERIOD = 0.25
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 20.0
STABLE_AFTER = 60.0
"""A process that ran this long starts again at once when it ends."""

RestartPolicy = Literal["Always", "OnFailure", "Never"]


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Ended:
    """How the last run ended."""

    exit_code: int
    started_at: float
    finished_at: float

    def state(self) -> Object:
        failed = self.exit_code != 0
        return {
            "exitCode": self.exit_code if self.exit_code >= 0 else 128 - self.exit_code,
            "reason": "Error" if failed else "Completed",
            "startedAt": timestamp(self.started_at),
            "finishedAt": timestamp(self.finished_at),
        }


class Container:
    """Runs a process as a kubelet runs a container. `changed` is called whenever its status changes."""

    def __init__(
        self,
        name: str,
        image: str,
        process: Process,
        *,
        probe: Probe | None,
        policy: RestartPolicy,
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self.image = image
        self.process = process
        self.probe = probe
        self.policy = policy
        self.ready = False
        self.restarts = 0
        self.last: Ended | None = None
        self.finished = False
        self._waiting: tuple[str, str] | None = ("ContainerCreating", "")
        self._changed = changed
        self._released = asyncio.Event()
        self._released.set()

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Keep the process running, by its restart policy, until cancelled. The first restart is at once, as a kubelet's."""
        backoff = 0.0
        while True:
            await self._released.wait()
            try:
                self.process.start()
            except LocalMeshError as error:
                self._set_waiting("CreateContainerError", str(error))
                await asyncio.sleep(LONGEST_BACKOFF)
                continue
            self._waiting = None
            self._changed()
            code = await self._watch(http)
            self._note_end(code)
            if self.policy == "Never" or (self.policy == "OnFailure" and code == 0):
                self.finished = True
                self._changed()
                return
            self.restarts += 1
            if not self._released.is_set():
                self._set_waiting("Stopped", "stopped through the mesh's control interface")
                continue
            assert self.last is not None
            if self.last.finished_at - self.last.started_at > STABLE_AFTER:
                backoff = 0.0
            if backoff:
                self._set_waiting("CrashLoopBackOff", f"back-off {backoff:.0f}s restarting container {self.name}")
                await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF) or FIRST_BACKOFF

    async def _watch(self, http: aiohttp.ClientSession) -> int:
        probing = asyncio.create_task(self._keep_probing(http))
        try:
            return await self.process.wait()
        finally:
            probing.cancel()
            self.ready = False

    def _note_end(self, code: int) -> None:
        now = datetime.now(UTC).timestamp()
        self.last = Ended(code, self.process.started_at, now)

    def _set_waiting(self, reason: str, message: str) -> None:
        self._waiting = (reason, message)
        self._changed()

    async def _keep_probing(self, http: aiohttp.ClientSession) -> None:
        if self.probe is None:
            self._set_ready(True)
            return
        failures = 0
        while True:
            if await is_healthy(self.probe, http):
                failures = 0
                self._set_ready(True)
            else:
                failures += 1
                if failures >= self.probe.failures:
                    self._set_ready(False)
            await asyncio.sleep(self.probe.period if self.ready else UNREADY_PROBE_PERIOD)

    def _set_ready(self, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            self._changed()

    def status(self) -> Object:
        """Entry of the pod's containerStatuses."""
        running = self.process.running
        if self.finished and self.last:
            state: Object = {"terminated": self.last.state()}
        elif self._waiting is not None or not running:
            reason, message = self._waiting or ("ContainerCreating", "")
            state = {"waiting": {"reason": reason, "message": message}}
        else:
            state = {"running": {"startedAt": timestamp(self.process.started_at)}}
        return {
            "name": self.name,
            "image": self.image,
            "imageID": self.image,
            "ready": self.ready,
            "started": running,
            "restartCount": self.restarts,
            "state": state,
            "lastState": {"terminated": self.last.state()} if self.last and not self.finished else {},
        }

    async def hold(self) -> None:
        """End the process and keep it from being started until `release`."""
        self._released.clear()
        self.process.signal(signal.SIGKILL)
        await self.process.wait()

    def release(self) -> None:
        self._released.set()


async def is_healthy(probe: Probe, http: aiohttp.ClientSession) -> bool:
    """One readiness check."""
    try:
        if probe.path is None:
            _, writer = await asyncio.wait_for(asyncio.open_connection(probe.host, probe.port), probe.timeout)
            writer.close()
            return True
        url = f"http://{probe.host}:{probe.port}{probe.path}"
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=probe.timeout)) as answer:
            return 200 <= answer.status < 400
    except (OSError, TimeoutError, aiohttp.ClientError):
        return False
