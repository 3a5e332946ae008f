"""What somebody who is called at night reads: which object, what happened, what comes next."""

import asyncio
from typing import Any

from canaryrollout.controller.lease import LeaseElector
from canaryrollout.controller.workqueue import WorkQueue
from canaryrollout.kube.errors import Forbidden, Unavailable
from structlog.testing import capture_logs


async def failing_with(error: Exception) -> dict[str, Any]:
    """The line about a pass that raised."""
    with capture_logs() as lines:

        async def work(_: str) -> None:
            raise error

        queue: WorkQueue[str] = WorkQueue(work, workers=1)
        await queue.start()
        await queue.add("a")
        async with asyncio.timeout(30):
            while not lines:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.001)
        await queue.stop()
    return dict(lines[0])


async def test_an_answer_of_the_api_server_is_one_line_without_a_trace() -> None:
    line = await failing_with(Forbidden(403, "Forbidden", "virtualservices is forbidden"))
    assert (line["log_level"], line["error"]) == ("warning", "Forbidden: virtualservices is forbidden (Forbidden)")
    assert "exc_info" not in line
    assert line["retry_in"] == 0.25


async def test_an_error_of_our_own_keeps_its_trace() -> None:
    line = await failing_with(KeyError("spec"))
    assert (line["log_level"], line["error"], line["exc_info"]) == ("error", "KeyError: 'spec'", True)


class Held:
    """An API server with a Lease that is another's, after an outage."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, *_: object) -> dict[str, Any]:
        self.asked += 1
        if self.asked == 1:
            raise Unavailable(0, "Timeout", "no answer within 10 s")
        return {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "operator-b", "leaseDurationSeconds": 1000}}


async def test_who_stands_by_says_for_whom_once() -> None:
    kube = Held()
    elector = LeaseElector(kube, namespace="system", name="lease", identity="operator-a", retry_period=0.001)  # type: ignore[arg-type]  # all it asks for
    with capture_logs() as lines:
        waiting = asyncio.create_task(elector.acquire())
        async with asyncio.timeout(30):
            while kube.asked < 5:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.001)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert lines == [
        {
            "event": "lease not reached, nothing is done without it",
            "log_level": "warning",
            "lease": "system/lease",
            "error": "no answer within 10 s (Timeout)",
        },
        {"event": "standing by", "log_level": "info", "lease": "system/lease", "holder": "operator-b"},
    ]
