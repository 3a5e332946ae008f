"""Leading ends with the Lease given back, however it ends."""

import asyncio

import pytest
from canaryrollout import app
from canaryrollout.settings import load
from memory_api import MemoryApi


class Elector:
    """Holds the Lease until it is released."""

    def __init__(self) -> None:
        self.released = False

    async def acquire(self) -> None:
        """At once."""

    async def hold(self) -> None:
        await asyncio.Event().wait()

    async def release(self) -> None:
        self.released = True


async def test_a_leader_that_fails_gives_the_lease_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> int:
        raise RuntimeError("the watches failed")

    elector = Elector()
    monkeypatch.setattr(app, "_elector", lambda *_: elector)
    settings = load({"prometheus_url": "http://prometheus:9090"}, {})
    process = app.OperatorProcess(settings, MemoryApi(), asyncio.Event(), None)  # type: ignore[arg-type]
    monkeypatch.setattr(process, "_work", fail)
    with pytest.raises(RuntimeError):
        await process._lead()
    assert elector.released
