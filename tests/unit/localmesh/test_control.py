"""The control interface over its unix socket."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from localmesh.client import call
from localmesh.control import serve_control
from localmesh.errors import LocalMeshError


class Parts:
    def describe(self) -> list[dict[str, Any]]:
        return [{"name": "etcd", "pid": 1, "log": "etcd.log"}]

    async def operate(self, name: str, operation: str) -> None:
        raise LocalMeshError(f"there is no part named {name!r}")


def daemon() -> Any:
    return cast(Any, SimpleNamespace(ready=True, failure=None, parts=Parts()))


async def ask(socket: Path, name: str, **body: object) -> dict[str, Any]:
    return await asyncio.to_thread(call, socket, name, body)


async def test_a_call_is_answered_also_where_the_path_is_longer_than_a_sockets_may_be(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    async with serve_control(daemon(), folder / "control.sock"):
        answer = await ask(folder / "control.sock", "status")
    assert answer == {"ready": True, "failure": None, "parts": Parts().describe()}


async def test_an_error_comes_back_as_its_text(tmp_path: Path) -> None:
    async with serve_control(daemon(), tmp_path / "control.sock"):
        with pytest.raises(LocalMeshError, match="no part named 'x'"):
            await ask(tmp_path / "control.sock", "operate", part="x", operation="kill")


def test_a_mesh_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalMeshError, match=r"control\.sock"):
        call(tmp_path / "control.sock", "status")
