"""A lock between processes, so that runs side by side build each program once."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localmesh.binaries_progress import Progress

POLL = 0.2


@contextmanager
def locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock; the kernel frees it when the holder ends, however it ends."""
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress.doing("another process is building; waiting for it")
                time.sleep(POLL)
        yield
