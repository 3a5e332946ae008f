"""The network namespace that holds a whole mesh.

All parts share one namespace. The pod range is local to its loopback device, so any address of it can be
bound without being added first. As an ordinary user the namespace sits inside a user namespace in which the
user appears as root.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from localmesh.addresses import NODE_IP, POD_RANGE
from localmesh.errors import LocalMeshError, UnsupportedMachineError

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def check_machine() -> None:
    """Raise UnsupportedMachineError where a mesh cannot run."""
    if sys.platform != "linux":
        raise UnsupportedMachineError(f"it needs Linux's network namespaces, and this is {sys.platform}")
    if shutil.which("ip") is None:
        raise UnsupportedMachineError("the command `ip` (package iproute2) was not found")
    if os.geteuid() != 0:
        limit = Path("/proc/sys/user/max_user_namespaces")
        if limit.exists() and limit.read_text().strip() == "0":
            raise UnsupportedMachineError("user namespaces are switched off (user.max_user_namespaces is 0)")


def enter_new_namespace() -> None:
    """Move this single-threaded process into a network namespace of its own, ready for pod addresses."""
    uid, gid = os.geteuid(), os.getegid()
    flags = CLONE_NEWNET if uid == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if _libc.unshare(flags) != 0:
        reason = os.strerror(ctypes.get_errno())
        what = "network" if uid == 0 else "user and network"
        raise UnsupportedMachineError(
            f"a new {what} namespace was refused ({reason}); on Ubuntu see the setting kernel.apparmor_restrict_unprivileged_userns"
        )
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _ip("link", "set", "lo", "up")
    _ip("route", "add", "local", POD_RANGE, "dev", "lo")

    _add_interface()


def _add_interface() -> None:
    """An interface other than lo, for programs that look for an address of the machine there.

    Only `istioctl proxy-status` is known to. A kernel without any of these kinds of interface can do without.
    """
    for kind in ("dummy", "veth", "bridge"):
        with contextlib.suppress(UnsupportedMachineError):
            _ip("link", "add", "mesh0", "type", kind)
            _ip("address", "add", f"{NODE_IP}/32", "dev", "mesh0")
            _ip("link", "set", "mesh0", "up")
            return


def _ip(*args: str) -> None:
    done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UnsupportedMachineError(f"`ip {' '.join(args)}` failed: {done.stderr.strip()}")


def join_namespace_of(pid: int) -> None:
    """Move this single-threaded process into the namespaces of a running mesh's daemon."""
    kinds = ["net"]
    if Path(f"/proc/{pid}/ns/user").stat().st_ino != Path("/proc/self/ns/user").stat().st_ino:
        kinds.insert(0, "user")
    for kind in kinds:
        fd = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.setns(fd, 0) != 0:
                raise LocalMeshError(f"cannot enter the mesh's {kind} namespace: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(fd)


def namespace_id(pid: int | str = "self") -> int:
    """The inode number that identifies a process's network namespace."""
    return Path(f"/proc/{pid}/ns/net").stat().st_ino


def processes_in(namespace: int) -> list[int]:
    """Process ids, other than this one, that live in a network namespace (only those we may look at)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if namespace_id(entry.name) == namespace:
                    found.append(int(entry.name))
    return found


def has_environment(pid: int, name: str, value: str) -> bool:
    """Whether a process was started with an environment variable of that value."""
    try:
        return f"{name}={value}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def kill_all(find: Callable[[], list[int]], timeout: float = 10.0) -> None:
    """Kill all processes that `find` finds, again and again until it finds none.

    Killing a namespace's first process leaves the others running, so they have to be found one by one.
    """
    deadline = time.monotonic() + timeout
    while pids := find():
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise LocalMeshError(f"processes {pids} of the mesh could not be killed")
        _reap_children()
        time.sleep(0.02)


def _reap_children() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def die_with_parent(parent: int, signum: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent ends, however it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so that they can be found and reaped."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
