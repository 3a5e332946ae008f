"""The work queue: one worker per key, one place in the queue per key, early where asked, patient after failures."""

import asyncio
import itertools
import sys
import threading
from collections.abc import AsyncIterator, Callable

import pytest
import structlog
from canaryrollout.controller import workqueue
from canaryrollout.controller.workqueue import WorkQueue


class Worker:
    """Counts passes; each waits for `gate` and gives what `answer` says."""

    def __init__(self) -> None:
        self.passes: list[str] = []
        self.running: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: Callable[[str], float | None] = lambda key: None

    async def __call__(self, key: str) -> float | None:
        self.passes.append(key)
        self.running[key] = self.running.get(key, 0) + 1
        self.most[key] = max(self.most.get(key, 0), self.running[key])
        try:
            await self.gate.wait()
            return self.answer(key)
        finally:
            self.running[key] -= 1


@pytest.fixture
async def worker() -> Worker:
    return Worker()


@pytest.fixture
async def queue(worker: Worker) -> AsyncIterator[WorkQueue[str]]:
    queue: WorkQueue[str] = WorkQueue(worker, workers=4)
    await queue.start()
    yield queue
    await queue.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - any condition, polled
            await asyncio.sleep(0.001)


async def settled(queue: WorkQueue[str], worker: Worker) -> None:
    """Until nothing is due and nobody works."""
    await until(lambda: queue.depth() == 0 and not any(worker.running.values()))


async def test_a_key_is_worked_on_by_one_worker_at_a_time_and_once_more_for_all_that_came_meanwhile(
    queue: WorkQueue[str], worker: Worker
) -> None:
    worker.gate.clear()
    await queue.add("a")
    await until(lambda: worker.passes == ["a"])
    for _ in range(10):
        await queue.add("a")
    await queue.add("b")
    await until(lambda: "b" in worker.passes)
    worker.gate.set()
    await until(lambda: worker.passes.count("a") == 2)
    await settled(queue, worker)
    assert (worker.passes.count("a"), worker.most["a"]) == (2, 1)


async def test_a_key_that_waits_is_not_added_twice(worker: Worker) -> None:
    queue: WorkQueue[str] = WorkQueue(worker)
    for _ in range(5):
        await queue.add("a")
    assert queue.depth() == 1
    await queue.start()
    await settled(queue, worker)
    await queue.stop()
    assert worker.passes == ["a"]


async def test_a_key_that_is_to_come_back_late_can_be_brought_forward_and_comes_once(queue: WorkQueue[str], worker: Worker) -> None:
    await queue.add("a", delay=3600)
    await queue.add("a")
    await until(lambda: worker.passes == ["a"])
    await settled(queue, worker)
    assert worker.passes == ["a"]


async def test_a_later_request_does_not_put_a_key_off(queue: WorkQueue[str], worker: Worker) -> None:
    await queue.add("a", delay=0.05)
    await queue.add("a", delay=3600)
    await until(lambda: worker.passes == ["a"])


async def test_a_pass_that_asks_for_another_gets_it(queue: WorkQueue[str], worker: Worker) -> None:
    worker.answer = lambda key: 0.0 if len(worker.passes) < 3 else None
    await queue.add("a")
    await until(lambda: len(worker.passes) == 3)


async def test_an_event_during_a_pass_is_not_lost_to_the_late_return_that_the_pass_asks_for(queue: WorkQueue[str], worker: Worker) -> None:
    worker.gate.clear()
    worker.answer = lambda key: 3600.0
    await queue.add("a")
    await until(lambda: worker.passes == ["a"])
    await queue.add("a")
    worker.gate.set()
    await until(lambda: len(worker.passes) == 2)


async def test_failures_back_off_and_a_success_forgives(queue: WorkQueue[str], worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workqueue, "FIRST_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(workqueue, "LAST_RETRY_SECONDS", 0.004)
    delays = []
    monkeypatch.setattr(workqueue.log, "exception", lambda *_, **fields: delays.append(fields["retry_in"]))

    def fail_six_times(key: str) -> float | None:
        if len(worker.passes) in (7, 9):
            return None
        raise OSError("API server away")

    worker.answer = fail_six_times
    await queue.add("a")
    await until(lambda: len(worker.passes) == 7)
    await settled(queue, worker)
    await queue.add("a")
    await until(lambda: len(worker.passes) == 9)
    assert delays == [0.001, 0.002, 0.004, 0.004, 0.004, 0.004, 0.001]


async def test_an_event_does_not_wait_for_the_back_off(queue: WorkQueue[str], worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workqueue, "FIRST_RETRY_SECONDS", 3600.0)
    monkeypatch.setattr(workqueue, "LAST_RETRY_SECONDS", 3600.0)

    def fail(key: str) -> float | None:
        raise OSError("API server away")

    worker.answer = fail
    await queue.add("a")
    await until(lambda: worker.passes == ["a"] and not worker.running["a"])
    await queue.add("a")
    await until(lambda: worker.passes == ["a", "a"])


async def test_one_stuck_key_holds_up_no_other(queue: WorkQueue[str], worker: Worker) -> None:
    worker.gate.clear()
    await queue.add("stuck")
    await until(lambda: worker.passes == ["stuck"])
    for number in range(3):
        await queue.add(f"key-{number}", delay=0.01 * number)
    await until(lambda: len(worker.passes) == 4)


async def test_stopping_cancels_what_is_under_way_and_starts_nothing_more(worker: Worker) -> None:
    queue: WorkQueue[str] = WorkQueue(worker, workers=2)
    await queue.start()
    worker.gate.clear()
    for key in ("a", "b", "c"):
        await queue.add(key)
    await until(lambda: len(worker.passes) == 2)
    await queue.stop()
    assert (len(worker.passes), any(worker.running.values())) == (2, False)
    assert queue.depth() == 1
    assert queue.oldest_wait() > 0


async def test_a_key_that_fails_for_days_is_still_worked_on(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(key: str) -> float:
        raise RuntimeError(key)

    worker.answer = fail
    monkeypatch.setattr(workqueue, "log", structlog.testing.CapturingLogger())
    queue: WorkQueue[str] = WorkQueue(worker)
    waits = [await queue._attempt("a") for _ in range(3000)]
    assert waits[-1] == workqueue.LAST_RETRY_SECONDS


def test_the_depth_can_be_read_from_another_thread_while_keys_come_and_go() -> None:
    queue: WorkQueue[int] = WorkQueue(Worker())  # type: ignore[arg-type]
    for key in range(20_000):
        queue._schedule(key, 0.0)
    ended = threading.Event()

    def come_and_go() -> None:
        for key in itertools.count(20_000):
            if ended.is_set():
                return
            queue._schedule(key, 0.0)
            del queue._due[key]

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(300):
            assert queue.depth() >= 20_000
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(before)


@pytest.mark.parametrize("moment", range(8))
async def test_a_worker_that_is_woken_in_the_moment_of_the_stop_stops(worker: Worker, moment: int) -> None:
    queue: WorkQueue[str] = WorkQueue(worker, workers=4)
    await queue.add("a", 600.0)
    await queue.start()
    await asyncio.sleep(0.01)
    await queue.add("b", 60.0)
    for _ in range(moment):
        await asyncio.sleep(0)
    stopping = asyncio.create_task(queue.stop())
    _, unfinished = await asyncio.wait({stopping}, timeout=2)
    stopping.cancel()
    assert not unfinished
