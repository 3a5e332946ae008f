"""Bringing a mesh up around a command, and taking it down whatever happens."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from localmesh import netns, programs
from localmesh.client import call
from localmesh.errors import LocalMeshError
from localmesh.state import ENV, Folder

START_TIMEOUT = 180.0


class Interrupted(Exception):
    """SIGTERM or SIGHUP arrived."""


@contextlib.contextmanager
def mesh(folder: Folder) -> Iterator[subprocess.Popen[bytes]]:
    """A mesh, ready, in a network namespace that this process enters; all its processes end with the block.

    Gives its daemon, whose end is the mesh's end.
    """
    netns.check_machine()
    _clear_remains(folder)
    folder.prepare()
    programs.install(folder)
    netns.enter_new_namespace()
    netns.adopt_orphans()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    daemon = _start_daemon(folder)
    try:
        _wait_until_ready(folder, daemon)
        yield daemon
    finally:
        for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(signum, signal.SIG_IGN)
        _stop_daemon(daemon)
        netns.kill_all(lambda: netns.processes_in(netns.namespace_id()))


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise Interrupted


def _clear_remains(folder: Folder) -> None:
    """Refuse a name that is in use; end what a crashed mesh of that name left behind."""
    if folder.running():
        raise LocalMeshError(f"the mesh {folder.path.name!r} is already running (see `status`, `down`)")
    folder.kill_remains()


def _start_daemon(folder: Folder) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    with (folder.logs / "daemon.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "localmesh", "daemon", str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": python_path(), ENV: str(folder.path)},
            start_new_session=True,
            # The daemon ends the mesh in order, and what the command has left behind with it.
            preexec_fn=lambda: netns.die_with_parent(parent, signal.SIGTERM),  # noqa: PLW1509 (single-threaded here)
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


def run(folder: Folder, command: Sequence[str]) -> int:
    """Bring a mesh up, run a command in it, take it down; returns the command's exit code.

    LocalMeshError when the mesh does not come up, or ends before the command does (which is then ended too).
    """
    try:
        with mesh(folder) as daemon:
            code = foreground(command, environment(folder), daemon)
            if daemon.poll() is not None:
                raise LocalMeshError(f"the mesh ended before the command did:\n{_last_words(folder)}")
            return code
    except Interrupted:
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def foreground(command: Sequence[str], env: Mapping[str, str], daemon: subprocess.Popen[bytes] | None = None) -> int:
    """Run a command on this terminal; returns its exit code (128 + N when signal N ended it).

    Ctrl-C reaches the command directly; this process only waits for it to end. It is ended when `daemon` ends.
    """
    parent = os.getpid()
    try:
        child = subprocess.Popen(command, env=env, preexec_fn=lambda: netns.die_with_parent(parent))  # noqa: PLW1509
    except OSError as error:
        raise LocalMeshError(f"cannot run {command[0]}: {error.strerror}") from error
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _wait_for_any(child, daemon)
        return _exit_code(child) if child.poll() is not None else _end(child)
    except Interrupted:
        _end(child)
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _wait_for_any(*processes: subprocess.Popen[bytes] | None) -> None:
    """Wait until one of the processes has ended."""
    waiting = select.poll()
    descriptors = [os.pidfd_open(process.pid) for process in processes if process]
    try:
        for descriptor in descriptors:
            waiting.register(descriptor, select.POLLIN)
        waiting.poll()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _end(child: subprocess.Popen[bytes]) -> int:
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(20)
    child.kill()
    return _exit_code(child)


def _exit_code(child: subprocess.Popen[bytes]) -> int:
    code = child.wait()
    return code if code >= 0 else 128 - code
