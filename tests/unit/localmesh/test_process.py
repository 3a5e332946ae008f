"""Processes of the mesh."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from localmesh.errors import LocalMeshError
from localmesh.process import Process


def exists(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def eventually(condition: Callable[[], object]) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def test_its_output_is_in_its_log(tmp_path: Path) -> None:
    process = Process("p", ["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path / "logs" / "p.log")
    process.start()
    assert await process.wait() == 3
    assert process.tail() == "out\nerr"


async def test_an_end_that_nobody_asked_for_is_reported(tmp_path: Path) -> None:
    ends: list[int] = []
    process = Process("p", ["sleep", "60"], tmp_path / "log", on_exit=lambda _, code: ends.append(code))
    process.start()
    process.signal(signal.SIGKILL)
    await process.wait()
    process.start()
    await process.stop()
    assert ends == [-signal.SIGKILL]


async def test_stopping_ends_everything_the_process_started(tmp_path: Path) -> None:
    process = Process("p", ["sh", "-c", "sleep 60 & echo $!; wait"], tmp_path / "log")
    process.start()
    await eventually(process.tail)
    child = int(process.tail())
    await process.stop()
    await eventually(lambda: not exists(child))


async def test_one_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    process = Process("p", ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"], tmp_path / "log")
    process.start()
    await eventually(process.tail)
    await process.stop(grace=0.1)
    assert process.exit_code == -signal.SIGKILL


async def test_a_frozen_one_can_be_stopped(tmp_path: Path) -> None:
    process = Process("p", ["sleep", "60"], tmp_path / "log")
    process.start()
    process.signal(signal.SIGSTOP)
    await process.stop()
    assert not process.running


async def test_it_can_be_started_again(tmp_path: Path) -> None:
    process = Process("p", ["sh", "-c", "echo run"], tmp_path / "log")
    for _ in range(2):
        process.start()
        await process.wait()
    assert process.tail() == "run\nrun"


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalMeshError, match="no-such-program"):
        Process("p", ["no-such-program"], tmp_path / "log").start()


async def test_it_sees_only_the_environment_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PERSON", "1")
    process = Process("p", ["env"], tmp_path / "log", env={"GIVEN": "2"})
    process.start()
    await process.wait()
    assert "GIVEN=2" in process.tail(100)
    assert "SECRET_OF_THE_PERSON" not in process.tail(100)
