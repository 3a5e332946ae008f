"""An istiod that takes requests and answers none: nobody waits for it longer than for one or two questions."""

import asyncio
import time

import pytest
from canaryrollout.core.snapshot import Problem
from canaryrollout.mesh.inventory import Shared
from canaryrollout.mesh.istiod import IstiodError

TIMEOUT = 0.2


class Hanging:
    """Fails after TIMEOUT, as long as it hangs."""

    def __init__(self) -> None:
        self.asked = 0
        self.hangs = True

    async def __call__(self) -> str:
        self.asked += 1
        await asyncio.sleep(TIMEOUT)
        if self.hangs:
            raise IstiodError(Problem("IstiodUnreachable", f"question {self.asked}"))
        return "an answer"


async def test_those_who_wait_together_fail_together() -> None:
    hanging = Hanging()
    shared = Shared(hanging)
    began = time.monotonic()
    results = await asyncio.gather(*(shared.get(0.0) for _ in range(16)), return_exceptions=True)
    assert all(isinstance(result, IstiodError) for result in results)
    assert hanging.asked <= 2
    assert time.monotonic() - began < 4 * TIMEOUT


async def test_a_failure_is_not_kept_for_those_who_come_after_it_was_asked_for() -> None:
    hanging = Hanging()
    shared = Shared(hanging)
    first = asyncio.create_task(shared.get(60.0))
    await asyncio.sleep(TIMEOUT / 2)
    later = asyncio.create_task(shared.get(60.0))
    with pytest.raises(IstiodError):
        await first
    hanging.hangs = False
    assert (await later)[1] == "an answer"
    assert (await shared.get(60.0))[1] == "an answer"
