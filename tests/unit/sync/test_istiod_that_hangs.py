"""An istiod that takes requests and answers none: nobody waits for it longer than for one or two questions."""

import asyncio
import time

import pytest
from canaryrollout.core.snapshot import Expectation, Problem
from canaryrollout.mesh import istiod
from canaryrollout.mesh.inventory import Shared
from canaryrollout.mesh.istiod import Istiod, IstiodClient, IstiodError
from canaryrollout.settings import IstioSettings

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


class NoDumps(IstiodClient):
    """An istiod that lists its proxies but gives no dump."""

    def __init__(self) -> None:
        super().__init__(None, IstioSettings())  # type: ignore[arg-type]  # the token is there already
        self._token, self._renew_at = "token", time.monotonic() + 60.0
        self.asked = 0

    async def _get(self, istiod: Istiod, path: str, token: str, seconds: float) -> tuple[int, bytes]:
        self.asked += 1
        await asyncio.sleep(TIMEOUT)
        raise IstiodError(Problem("IstiodUnreachable", "hangs"))


async def test_nobody_waits_long_for_a_dump_behind_the_dumps_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(istiod, "DUMP_WAIT", TIMEOUT)
    client = NoDumps()
    expectation = Expectation("shop", "reviews.shop.svc.cluster.local", "reviews", ("v1", "v2"))
    asked = Istiod("istiod-1", "10.0.0.1", "1", required=True)
    began = time.monotonic()
    answers = await asyncio.gather(
        *(client.generated(asked, f"client-{index}.shop", expectation) for index in range(64)), return_exceptions=True
    )
    assert time.monotonic() - began < 4 * TIMEOUT
    assert client.asked <= 3 * istiod.DUMPS_AT_ONCE, "who got no place leaves nothing behind"
    assert answers.count(None) == 64 - client.asked, "and says nothing about istiod"
