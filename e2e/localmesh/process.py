"""Processes of the mesh: each with a log file, a process group, and no life beyond the daemon's."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from localmesh.errors import LocalMeshError
from localmesh.netns import die_with_parent
from localmesh.state import ENV

_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", ENV)
"""What processes inherit. The mesh's folder is among it so that they can be told from those of another mesh."""


class Process:
    """One program that can be started, stopped, frozen and started again.

    Every run appends to the same log file. `on_exit` is called with the exit code (negative: the signal) when a
    run ends that nobody asked to end through `stop`.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        on_exit: Callable[["Process", int], None] | None = None,
    ) -> None:
        self.name = name
        self.argv = [str(part) for part in argv]
        self.log = log
        self.env = {key: os.environ[key] for key in _PASSED_ON if key in os.environ} | dict(env or {})
        self.cwd = cwd
        self.on_exit = on_exit
        self.exit_code: int | None = None
        self.started_at = 0.0
        self._popen: subprocess.Popen[bytes] | None = None
        self._ended: asyncio.Future[int] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._popen.pid if self.running and self._popen else None

    @property
    def running(self) -> bool:
        return self._ended is not None and not self._ended.done()

    def start(self) -> None:
        """Start it; LocalMeshError when the program cannot be run. Does nothing when it runs already."""
        if self.running:
            return
        self._stopping = False
        self.exit_code = None
        self.log.parent.mkdir(parents=True, exist_ok=True)
        daemon = os.getpid()
        with self.log.open("ab") as log:
            try:
                self._popen = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self.env,
                    cwd=self.cwd,
                    start_new_session=True,
                    preexec_fn=lambda: die_with_parent(daemon),  # noqa: PLW1509 (the daemon forks from one thread)
                )
            except OSError as error:
                raise LocalMeshError(f"cannot start {self.name} ({self.argv[0]}): {error}") from error
        self.started_at = time.time()
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        pidfd = os.pidfd_open(self._popen.pid)
        loop.add_reader(pidfd, self._reap, loop, pidfd)

    def _reap(self, loop: asyncio.AbstractEventLoop, pidfd: int) -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        assert self._popen is not None and self._ended is not None
        self.exit_code = self._popen.wait()
        self._kill_group(signal.SIGKILL)
        self._ended.set_result(self.exit_code)
        if not self._stopping and self.on_exit:
            self.on_exit(self, self.exit_code)

    def _kill_group(self, signum: signal.Signals) -> None:
        if self._popen:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signum)

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the process and all it has started."""
        if not self.running:
            raise LocalMeshError(f"{self.name} does not run")
        self._kill_group(signum)

    async def wait(self) -> int:
        """Exit code of the current or last run."""
        if self._ended is None:
            raise LocalMeshError(f"{self.name} was never started")
        return await asyncio.shield(self._ended)

    async def stop(self, grace: float = 5.0) -> None:
        """End it: SIGTERM, after `grace` seconds SIGKILL. Returns when it is gone."""
        if not self.running:
            return
        self._stopping = True
        self._kill_group(signal.SIGTERM)
        self._kill_group(signal.SIGCONT)
        try:
            await asyncio.wait_for(self.wait(), grace)
        except TimeoutError:
            self._kill_group(signal.SIGKILL)
            await self.wait()

    def tail(self, lines: int = 15) -> str:
        """Last lines of the log, for error messages."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""
