"""Whatever ends a mesh, no process of it may stay behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from localmesh.launcher import python_path
from localmesh.netns import processes_in
from localmesh.state import Running, folder

READY = "the command runs"
COMMAND = f"trap 'exit 9' TERM; echo {READY}; sleep 600 & wait"


class Run:
    """A mesh brought up by `python -m localmesh run` around a command that waits."""

    def __init__(self, name: str, command: str) -> None:
        self.place = folder(name)
        argv = [sys.executable, "-m", "localmesh", "run", "--name", name, "--", "bash", "-c", command]
        self.process = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": python_path()},
        )
        self.output: list[str] = []

    def wait_until_up(self) -> Running:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if line.strip() == READY:
                recorded = self.place.recorded()
                assert recorded is not None
                return recorded
        raise AssertionError("".join(self.output))

    def end(self) -> int:
        rest, _ = self.process.communicate(timeout=60)
        self.output.append(rest)
        return self.process.returncode


@pytest.fixture
def name() -> Iterator[str]:
    """Name of a mesh that leaves nothing behind."""
    made = f"lifecycle-{os.getpid()}"
    yield made
    shutil.rmtree(folder(made).path, ignore_errors=True)


@pytest.fixture
def run(name: str) -> Iterator[Run]:
    started = Run(name, COMMAND)
    yield started
    if started.process.poll() is None:
        started.process.terminate()
    started.process.communicate(timeout=60)


def until_empty(namespace: int) -> None:
    deadline = time.monotonic() + 20
    while left := processes_in(namespace):
        assert time.monotonic() < deadline, [Path(f"/proc/{pid}/cmdline").read_text() for pid in left]
        time.sleep(0.05)


def kill_part(name: str) -> Callable[[Run, Running], None]:
    def kill(_: Run, mesh: Running) -> None:
        for pid in processes_in(mesh.namespace):
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(f"/{name}".encode()):
                os.kill(pid, signal.SIGKILL)

    return kill


ENDS: dict[str, tuple[Callable[[Run, Running], None], int]] = {
    "Ctrl-C": (lambda run, _: os.killpg(run.process.pid, signal.SIGINT), 130),
    "SIGTERM": (lambda run, _: run.process.terminate(), 143),
    "SIGHUP, as when the terminal closes": (lambda run, _: run.process.send_signal(signal.SIGHUP), 143),
    "kill -9 of the command line": (lambda run, _: run.process.kill(), -9),
    "kill -9 of the daemon": (lambda _, mesh: os.kill(mesh.pid, signal.SIGKILL), 2),
    "death of etcd": (kill_part("etcd"), 2),
    "death of the API server": (kill_part("kube-apiserver"), 2),
}


@pytest.mark.parametrize("how", ENDS)
def test_nothing_stays_behind_after(how: str, run: Run) -> None:
    mesh = run.wait_until_up()
    act, expected = ENDS[how]
    assert len(processes_in(mesh.namespace)) > 7
    act(run, mesh)
    assert run.end() == expected, "".join(run.output)
    until_empty(mesh.namespace)
    assert (run.place.logs / "daemon.log").exists()


def test_the_commands_exit_code_is_the_meshs(name: str) -> None:
    ended = Run(name, f"echo {READY}; exit 7")
    mesh = ended.wait_until_up()
    assert ended.end() == 7
    until_empty(mesh.namespace)


def test_a_name_in_use_is_refused(name: str, run: Run) -> None:
    run.wait_until_up()
    second = Run(name, COMMAND)
    assert second.end() == 2
    assert "already running" in "".join(second.output)
