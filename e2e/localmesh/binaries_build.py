"""Builds programs with `go build` into the user's cache."""

import errno
import os
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from pathlib import Path

from localmesh.binaries_catalog import Binary
from localmesh.binaries_go import Go
from localmesh.binaries_progress import Progress
from localmesh.errors import LocalMeshError

GIB = 1 << 30
SPACE_PER_MINUTE = 3 * GIB // 4
"""A cold build of everything leaves 9 GiB of sources, compiled packages (6.4 GiB) and programs."""
LAST_LINES = 20
SCRATCH = ".building-"


class BuildError(LocalMeshError):
    """A program could not be built; the text says why and where the whole log is."""


def check_space(minutes: float, go: Go, cache: Path) -> None:
    """LocalMeshError where cold builds that take `minutes` would fill a disk."""
    needed = minutes * SPACE_PER_MINUTE
    folders = go.run(cache, "env", "GOCACHE", "GOMODCACHE").split()
    for folder in {cache, *map(Path, folders)}:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        if free < needed:
            raise LocalMeshError(
                f"building the local mesh's programs may need {needed / GIB:.1f} GiB, and the disk of {folder} has "
                f"{free / GIB:.1f} GiB left; free some, or set XDG_CACHE_HOME, GOCACHE and GOMODCACHE to a larger disk"
            )


def build(binary: Binary, target: Path, go: Go, log: Path, progress: Progress) -> None:
    """Compile `binary` to `target`, which appears whole or not at all."""
    for remains in target.parent.glob(f"{SCRATCH}*"):  # of a build that was killed
        shutil.rmtree(remains, ignore_errors=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=SCRATCH) as scratch:
        new = Path(scratch) / binary.name
        command = [str(go.path), "build", "-v", *binary.build_flags(), "-o", str(new), binary.package]
        # The linker's scratch files are large, and /tmp may be small.
        environment = go.environment | {"GOTMPDIR": scratch}
        _compile(binary, command, environment, log, progress)
        new.rename(target)


def _compile(binary: Binary, command: list[str], environment: dict[str, str], log: Path, progress: Progress) -> None:
    last: deque[str] = deque(maxlen=LAST_LINES)
    with (
        log.open("w") as record,
        subprocess.Popen(
            command,
            cwd=binary.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        record.write(f"# in {binary.folder}\n# {' '.join(command)}\n")
        try:
            for line in process.stdout or ():
                record.write(line)
                last.append(line.rstrip())
                progress.doing(_in_words(line.strip(), binary))
        except BaseException:
            process.send_signal(signal.SIGINT)  # at which go removes what it began
            raise
    if process.returncode:
        raise BuildError(_failure(binary, list(last), process.returncode, log))


def _in_words(line: str, binary: Binary) -> str:
    """What a line of `go build -v` says: "go: downloading MODULE VERSION" or the package that is compiled."""
    if line.startswith("go: "):
        return line.removeprefix("go: ")
    main = binary.package if binary.package != "." else ""
    return "linking" if line == main else f"compiling {line}"


def _failure(binary: Binary, last: list[str], code: int, log: Path) -> str:
    text = "\n".join(last)
    if os.strerror(errno.ENOSPC).lower() in text.lower():
        reason = "the disk is full"
    elif "signal: killed" in text or code == -9:
        reason = "the compiler was killed, most likely for lack of memory (2 GiB are needed)"
    elif any(word in text for word in ("dial tcp", "i/o timeout", "connection refused", "no such host", "TLS handshake")):
        reason = "Go modules could not be downloaded; is the network there, and GOPROXY set where one is needed?"
    elif code < 0:
        reason = f"go build was ended from outside, by {signal.Signals(-code).name}"
    else:
        reason = f"go build ended with exit code {code}"
    return f"cannot build {binary.name}: {reason}\n{text}\nThe whole log is {log}"
