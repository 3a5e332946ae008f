"""An asynchronous, bounded client of Prometheus's query API on top of prometheus-api-client."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from canaryrollout.metrics import answers, errors
from canaryrollout.metrics.answers import Sample
from canaryrollout.metrics.endpoint import PrometheusEndpoint

_EPOCH = datetime.fromtimestamp(0, UTC)


class PrometheusClient:
    """Queries one endpoint. Every method raises errors.PrometheusError and nothing else, within the endpoint's time-out.

    Times are integer milliseconds, Prometheus's own resolution. Threads are bounded by `endpoint.concurrency`; a query that
    finds none free waits, within its deadline.
    """

    def __init__(self, endpoint: PrometheusEndpoint, asked: Callable[[bool], None] = lambda _succeeded: None) -> None:
        """`asked` is told of each query whether it succeeded."""
        from prometheus_api_client.prometheus_connect import PrometheusConnect  # noqa: PLC0415 - see transport on its cost

        from canaryrollout.metrics.transport import Call, Session  # noqa: PLC0415

        self._endpoint = endpoint
        self._asked = asked
        self._new_call = Call
        self._session = Session(endpoint)
        self._connect = PrometheusConnect(
            url=endpoint.url,
            headers=dict(endpoint.headers),
            session=self._session,
            timeout=endpoint.timeout,  # type: ignore[arg-type]  # handed to requests, which takes floats
            method="POST",
        )
        self._session.mount_last()
        self._free = asyncio.Semaphore(endpoint.concurrency)
        self._threads = ThreadPoolExecutor(endpoint.concurrency, thread_name_prefix="prometheus")

    @property
    def timeout(self) -> float:
        """Seconds that a query may take."""
        return self._endpoint.timeout

    @property
    def concurrency(self) -> int:
        """Queries under way at once."""
        return self._endpoint.concurrency

    async def now(self) -> int:
        """Prometheus's own time."""
        return round(answers.scalar(await self._ask("time()", {})) * 1000)

    async def evaluate(self, query: str, times: range) -> tuple[Sample, ...]:
        """The query's values at one time, or at several with one request."""
        if len(times) == 1:
            return answers.vector(await self._ask(query, {"time": _seconds(times[0])}), times[0])
        return answers.matrix(await self._ask(query, _range(times)), times)

    async def numbers(self, query: str, times: range) -> tuple[Sample, ...]:
        """The values of a query that we have not written, a scalar's too: any numbers."""
        return answers.numbers(await self._ask(query, _range(times)), times)

    async def close(self) -> None:
        """Cut nothing short, but take no more queries; idle connections are closed."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def _ask(self, query: str, parameters: Mapping[str, str]) -> Any:
        call = self._new_call()
        parameters = {**self._endpoint.parameters, "timeout": f"{self._endpoint.timeout:g}s", **parameters}

        def ask() -> Any:
            if "step" in parameters:
                # The library rounds its own times to seconds; ours, given again as parameters, win.
                return self._connect.custom_query_range(query, _EPOCH, _EPOCH, parameters["step"], params=parameters)
            return self._connect.custom_query(query, params=parameters)

        succeeded = False
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                await self._free.acquire()
                answer = await asyncio.wrap_future(self._submit(lambda: self._session.run(call, ask)))
                succeeded = True
                return answer
        except TimeoutError:
            raise errors.timed_out(self._endpoint.timeout) from None
        finally:
            call.cut()
            self._asked(succeeded)

    def _submit(self, work: Callable[[], Any]) -> "Future[Any]":
        """The place of a query is free again only when its thread is, which may be later than its caller's deadline."""
        loop = asyncio.get_running_loop()

        def release(_done: "Future[Any]") -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._free.release)

        future = self._threads.submit(work)
        future.add_done_callback(release)
        return future


def _range(times: range) -> dict[str, str]:
    return {"start": _seconds(times[0]), "end": _seconds(times[-1]), "step": _seconds(times.step)}


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
