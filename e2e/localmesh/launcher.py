"""Bringing a mesh up around a command, and taking it down whatever happens."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from localmesh import netns
from localmesh.client import call
from localmesh.errors import LocalMeshError
from localmesh.state import ENV, Folder

START_TIMEOUT = 180.0


class _Interrupted(Exception):
    """SIGTERM or SIGHUP arrived."""


@contextlib.contextmanager
def mesh(folder: Folder) -> Iterator[Folder]:
    """A mesh, ready, in a network namespace that this process enters; all its processes end with the block."""
    _clear_remains(folder)
    netns.enter_new_namespace()
    netns.adopt_orphans()
    folder.prepare()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    daemon = _start_daemon(folder)
    try:
        _wait_until_ready(folder, daemon)
        yield folder
    finally:
        for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(signum, signal.SIG_IGN)
        _stop_daemon(daemon)
        netns.kill_all_in(netns.namespace_id())


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise _Interrupted


def _clear_remains(folder: Folder) -> None:
    """Refuse a name that is in use; end what a crashed mesh of that name left behind."""
    if folder.running():
        raise LocalMeshError(f"the mesh {folder.path.name!r} is already running (see `status`, `down`)")
    recorded = folder.recorded()
    if recorded and recorded.namespace != netns.namespace_id():
        netns.kill_all_in(recorded.namespace)


def _start_daemon(folder: Folder) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    with (folder.logs / "daemon.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "localmesh", "daemon", str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": python_path()},
            start_new_session=True,
            preexec_fn=lambda: netns.die_with_parent(parent),  # noqa: PLW1509 (single-threaded here)
        )


def python_path() -> str:
    """PYTHONPATH with which a child finds this package."""
    here = str(Path(__file__).parent.parent)
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])


def _wait_until_ready(folder: Folder, daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            raise LocalMeshError(f"the mesh did not start:\n{_last_words(folder)}")
        if folder.control_socket.exists():
            with contextlib.suppress(LocalMeshError):
                if call(folder.control_socket, "status")["ready"]:
                    return
        time.sleep(0.1)
    raise LocalMeshError(f"the mesh was not ready after {START_TIMEOUT:.0f} s; logs are in {folder.logs}")


def _last_words(folder: Folder) -> str:
    lines = (folder.logs / "daemon.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-25:])


def _stop_daemon(daemon: subprocess.Popen[bytes]) -> None:
    if daemon.poll() is None:
        daemon.terminate()
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def environment(folder: Folder) -> dict[str, str]:
    """Environment of commands inside a mesh: kubectl, istioctl and helm are on the PATH and find the cluster."""
    return os.environ | {
        ENV: str(folder.path),
        "KUBECONFIG": str(folder.kubeconfig),
        "PATH": f"{folder.shims}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def run(folder: Folder, command: Sequence[str], env: Mapping[str, str] | None = None) -> int:
    """Bring a mesh up, run a command in it, take it down; returns the command's exit code."""
    try:
        with mesh(folder):
            return foreground(command, {**environment(folder), **(env or {})})
    except _Interrupted:
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def foreground(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a command on this terminal; returns its exit code (128 + N when signal N ended it).

    Ctrl-C reaches the command directly; this process only waits for it to end.
    """
    parent = os.getpid()
    try:
        child = subprocess.Popen(command, env=env, preexec_fn=lambda: netns.die_with_parent(parent))  # noqa: PLW1509
    except OSError as error:
        raise LocalMeshError(f"cannot run {command[0]}: {error.strerror}") from error
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = child.wait()
    except _Interrupted:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(20)
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code
