"""Steady traffic from outside the operator's view, with a record of every answer."""

import contextlib
import json
import secrets
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from localmesh.errors import LocalMeshError


@dataclass(frozen=True)
class Answer:
    """One request as its client saw it. Times are Unix seconds; `status` 0 means that no answer came."""

    start: float
    t: float
    ms: float
    status: int
    version: str
    error: str | None = None

    @property
    def failed(self) -> bool:
        return self.status == 0 or self.status >= 500


class Load:
    """A running (or ended) load generator."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, log: Path) -> None:
        self._process = process
        self._out = out
        self._log = log
        self._offset = 0
        self._answers: list[Answer] = []

    def answers(self, since: float = 0.0) -> list[Answer]:
        """What has been answered so far to requests begun at or after `since`, in order of completion."""
        self._read_on()
        return [answer for answer in self._answers if answer.start >= since]

    def _read_on(self) -> None:
        """Take in the whole lines written since the last time."""
        if not self._out.exists():
            return
        with self._out.open("rb") as records:
            records.seek(self._offset)
            fresh = records.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._answers += [_parse(line) for line in whole.splitlines()]

    def versions(self, since: float = 0.0) -> Counter[str]:
        """Number of answers per version."""
        return Counter(answer.version for answer in self.answers(since))

    def failures(self, since: float = 0.0) -> list[Answer]:
        return [answer for answer in self.answers(since) if answer.failed]

    def set_rate(self, rps: float) -> None:
        """Change the rate of a running load; it takes effect within 0.2 s."""
        rate = Path(f"{self._out}.rps")
        fresh = rate.with_suffix(".new")
        fresh.write_text(str(rps))
        fresh.replace(rate)

    def stop(self) -> None:
        """End it; requests under way are finished and recorded. LocalMeshError when it failed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        # One that is stopped before it has begun dies of the signal.
        if code not in (0, -signal.SIGTERM):
            raise LocalMeshError(f"the load generator failed (exit code {code}): {self._log.read_text()[-500:]}")


def _parse(line: bytes) -> Answer:
    item = json.loads(line)
    return Answer(
        start=float(item["start"]),
        t=float(item["t"]),
        ms=float(item["ms"]),
        status=int(item["status"]),
        version=item.get("version", ""),
        error=item.get("error"),
    )


@contextlib.contextmanager
def running(
    meshkit: Path,
    folder: Path,
    *,
    url: str,
    host: str | None,
    rps: float,
    version_header: str,
    proxy: str | None = None,
    headers: Mapping[str, str] | None = None,
    connection_churn: int = 0,
) -> Iterator[Load]:
    """A load that runs until the block ends; its answers stay readable, in `folder`, afterwards.

    See `meshkit load --help` for the meaning of the parameters.
    """
    name = secrets.token_hex(4)
    out, log = folder / f"{name}.jsonl", folder / f"{name}.log"
    argv = [str(meshkit), "load", "--url", url, "--rps", str(rps), "--out", str(out)]
    argv += ["--version-header", version_header]
    argv += ["--host", host] if host else []
    argv += ["--proxy", proxy] if proxy else []
    argv += ["--connection-churn", str(connection_churn)]
    for header, value in (headers or {}).items():
        argv += ["--header", f"{header}={value}"]
    with log.open("wb") as sink:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
    load = Load(process, out, log)
    try:
        yield load
        load.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
