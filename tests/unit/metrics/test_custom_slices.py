"""What custom metrics bring: numbers for each slice, or a problem; never both, never a guess."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterable

import pytest
from canaryrollout.core.snapshot import CustomMetricQuery, CustomSlice, Poll, PollFailure
from canaryrollout.metrics.answers import Sample
from canaryrollout.metrics.custom_slices import Asked, read_ratio, read_value
from canaryrollout.metrics.endpoint import PrometheusEndpoint
from canaryrollout.metrics.istio import IstioPrometheus, Sampling
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.metrics.provider import Question
from hostile import read_request

NOW = 1_700_000_000
END = NOW * 1000
ONCE = range(END, END + 1, 5000)
TWICE = range(END - 5000, END + 1, 5000)
RATIO = CustomMetricQuery(name="orders", bad="sum(bad)", total="sum(all)", max_rate=0.01)
VALUE = CustomMetricQuery(name="depth", value="sum(depth)", maximum=5.0)


def at(value: float, time: int = END) -> Sample:
    return Sample(time, {}, value)


def reasons(asked: Asked) -> list[str]:
    return [problem.reason for problem in asked.problems]


def test_a_ratio_is_summed_over_its_series_in_each_slice() -> None:
    found = read_ratio(RATIO, TWICE, [at(1), at(2), at(0, END - 5000)], [at(30), at(10), at(7, END - 5000)])
    assert found == Asked((CustomSlice("orders", NOW - 10, NOW - 5, bad=0, total=7), CustomSlice("orders", NOW - 5, NOW, bad=3, total=40)))


@pytest.mark.parametrize(
    ("bad", "total", "reason"),
    [
        ([], [at(5)], "CustomMetricNoData"),
        ([at(0)], [], "CustomMetricNoData"),
        ([], [], "CustomMetricNoData"),
        ([at(6)], [at(5)], "CustomMetricInvalid"),
        ([at(-1)], [at(5)], "CustomMetricInvalid"),
        ([at(-1), at(2)], [at(5)], "CustomMetricInvalid"),
        ([at(float("nan"))], [at(5)], "CustomMetricInvalid"),
        ([at(1)], [at(float("inf"))], "CustomMetricInvalid"),
        ([at(1)], [at(1e300)], "CustomMetricInvalid"),
    ],
)
def test_a_ratio_without_two_usable_counts_is_a_problem_and_no_slice(bad: list[Sample], total: list[Sample], reason: str) -> None:
    found = read_ratio(RATIO, ONCE, bad, total)
    assert found.slices == ()
    assert reasons(found) == [reason]
    assert "'orders'" in found.problems[0].message


def test_rounding_is_no_excess() -> None:
    (piece,) = read_ratio(RATIO, ONCE, [at(10.000000001)], [at(10.0)]).slices
    assert (piece.bad, piece.total) == (10.0, 10.0)


def test_a_gap_in_one_slice_leaves_the_others() -> None:
    found = read_ratio(RATIO, TWICE, [at(1)], [at(30)])
    assert [piece.end for piece in found.slices] == [NOW]
    assert reasons(found) == ["CustomMetricNoData"]


@pytest.mark.parametrize("value", [-3.5, 0.0, 1e300])
def test_a_value_may_be_any_finite_number(value: float) -> None:
    assert read_value(VALUE, ONCE, [at(value)]) == Asked((CustomSlice("depth", NOW - 5, NOW, value=value),))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "CustomMetricNoData"),
        ([at(1), at(1)], "CustomMetricInvalid"),
        ([at(float("nan"))], "CustomMetricInvalid"),
        ([at(float("-inf"))], "CustomMetricInvalid"),
    ],
)
def test_a_value_that_is_not_exactly_one_number_is_a_problem_and_no_slice(values: Iterable[Sample], reason: str) -> None:
    found = read_value(VALUE, ONCE, values)
    assert (found.slices, reasons(found)) == ((), [reason])


class Prometheus:
    """Answers by the query: `reply` gives a body, or None to hang."""

    def __init__(self, reply: Callable[[str], tuple[int, object] | None]) -> None:
        self.reply = reply
        self.stopped = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while request := read_request(connection):
                query = request.form["query"][0]
                answer = (200, [NOW, str(NOW)]) if query == "time()" else self.reply(query)
                if answer is None:
                    self.stopped.wait(20)
                    return
                status, result = answer
                ok = {"status": "success", "data": {"resultType": "matrix", "result": result}}
                body = json.dumps(ok if status == 200 else result).encode()
                connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def __enter__(self) -> "Prometheus":
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.listener.close()


async def poll(reply: Callable[[str], tuple[int, object] | None], *metrics: CustomMetricQuery, length: float = 5.0) -> Poll | PollFailure:
    question = Question("bookinfo", "reviews", ("reviews-v2",), ("reviews-v1",), 0.5, metrics=metrics)
    with Prometheus(reply) as server:
        client = PrometheusClient(PrometheusEndpoint(url=server.url, timeout=10, concurrency=4))
        result = await IstioPrometheus(client, Sampling(slice_length=length, ingestion_delay=0.0)).poll(question, NOW - length)
        await client.close()
    return result


def counted(query: str) -> tuple[int, object]:
    """Istio's own answers, at the time that is asked for."""
    if "istio_requests_total" in query and "timestamp" not in query:
        labels = {"reporter": "destination", "destination_workload": "reviews-v2", "response_code": "503"}
        return 200, [{"metric": labels, "value": [NOW, "7"]}]
    return 200, []


async def test_custom_slices_come_with_the_poll() -> None:
    def reply(query: str) -> tuple[int, object]:
        values = {"sum(bad)": "1", "sum(all)": "20", "sum(depth)": "-4.5"}
        return (200, [{"metric": {}, "values": [[NOW, values[query]]]}]) if query in values else counted(query)

    result = await poll(reply, RATIO, VALUE)
    assert isinstance(result, Poll)
    assert result.custom == (CustomSlice("orders", NOW - 5, NOW, 1, 20), CustomSlice("depth", NOW - 5, NOW, value=-4.5))


async def test_a_custom_query_that_is_refused_voids_nothing_else_and_its_text_stays_inside() -> None:
    def reply(query: str) -> tuple[int, object]:
        if query == "sum(bad)":
            return 422, {"status": "error", "errorType": "execution", "error": "secret 10.0.0.7"}
        return (200, [{"metric": {}, "values": [[NOW, "2"]]}]) if query.startswith("sum(") and "istio" not in query else counted(query)

    result = await poll(reply, RATIO, VALUE)
    assert isinstance(result, Poll)
    assert [piece.canary.errors for piece in result.slices] == [7.0]
    assert [piece.name for piece in result.custom] == ["depth"]
    (problem,) = [problem for problem in result.problems if problem.reason == "CustomMetricFailed"]
    assert problem.message == "metric 'orders' could not be asked: Prometheus answered with HTTP status 422 (execution)"


async def test_a_custom_query_that_hangs_holds_the_counts_up_no_longer_than_a_slice() -> None:
    def reply(query: str) -> tuple[int, object] | None:
        return None if query.startswith("sum(depth") else counted(query)

    async with asyncio.timeout(8):
        result = await poll(reply, VALUE, length=0.5)
    assert isinstance(result, Poll)
    assert [piece.canary.errors for piece in result.slices] == [7.0]
    assert "CustomMetricFailed" in [problem.reason for problem in result.problems]


async def test_many_hanging_custom_queries_leave_room_for_istios_own() -> None:
    def reply(query: str) -> tuple[int, object] | None:
        return None if query.startswith("sum(depth") else counted(query)

    async with asyncio.timeout(8):
        result = await poll(reply, *(VALUE for _ in range(8)), length=0.5)
    assert isinstance(result, Poll)
    assert [piece.canary.errors for piece in result.slices] == [7.0]


async def test_a_missing_version_is_no_data() -> None:
    result = await poll(counted, CustomMetricQuery(name="x", value='sum(y{v="{{canary}}"})', maximum=1.0))
    assert isinstance(result, Poll)
    assert "CustomMetricNoData" in [problem.reason for problem in result.problems]
