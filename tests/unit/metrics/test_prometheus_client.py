"""The client against servers that stall, lie, flood or redirect: one test per defect of the library or of requests."""

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asking import AT, ONCE, SECRET, client_of, failure, sample, trickle_body, trickle_headers
from canaryrollout.metrics.errors import PrometheusError
from hostile import Answer, ok, raw, serving


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_vector_is_read_at_the_time_asked_for() -> None:
    with serving(ok([sample("42")])) as server:
        async with client_of(server) as client:
            (result,) = await client.evaluate("up", ONCE)
    assert (result.time, result.labels, result.value) == (AT, {"reporter": "source"}, 42.0)
    assert server.requests[0].form["time"] == ["1700000000.123"]


async def test_a_range_is_asked_for_in_milliseconds() -> None:
    times = range(AT, AT + 3 * 5_001, 5_001)
    values = [[time / 1000, str(index)] for index, time in enumerate(times)]
    with serving(ok([{"metric": {}, "values": values}], "matrix")) as server:
        async with client_of(server) as client:
            result = await client.evaluate("up", times)
    assert [(s.time, s.value) for s in result] == [(times[0], 0.0), (times[1], 1.0), (times[2], 2.0)]
    form = server.requests[0].form
    assert (form["start"], form["end"], form["step"]) == (["1700000000.123"], ["1700000010.125"], ["5.001"])


async def test_the_time_is_prometheus_own() -> None:
    with serving(ok([AT / 1000, "1700000000.123"], "scalar")) as server:
        async with client_of(server) as client:
            assert await client.now() == AT


async def test_the_query_travels_in_the_body_not_in_the_url() -> None:
    with serving(ok([])) as server:
        async with client_of(server) as client:
            await client.evaluate("sum(up)", ONCE)
    assert server.requests[0].line == "POST /api/v1/query HTTP/1.1"
    assert server.requests[0].form["query"] == ["sum(up)"]


async def test_incomplete_answers_are_declined_beforehand() -> None:
    with serving(ok([])) as server:
        async with client_of(server) as client:
            await client.evaluate("up", ONCE)
    assert server.requests[0].form["partial_response"] == ["false"]
    assert server.requests[0].form["deny_partial_response"] == ["1"]


@pytest.mark.parametrize("trickle", [trickle_body, trickle_headers])
async def test_a_trickling_answer_ends_at_the_deadline_and_frees_its_thread(
    trickle: Callable[[threading.Event], Answer], stop: threading.Event
) -> None:
    with serving(trickle(stop), ok([])) as server:
        async with client_of(server, timeout=1.5, concurrency=1) as client:
            with pytest.raises(PrometheusError) as caught:
                await client.evaluate("up", ONCE)
            assert caught.value.reason == "PrometheusTimeout"
            # The only thread there is must be free again although the server still trickles.
            assert await client.evaluate("up", ONCE) == ()


async def test_a_server_that_never_answers_ends_at_the_deadline(stop: threading.Event) -> None:
    error = await failure(lambda _connection: (stop.wait(30), None)[1], timeout=0.3)
    assert error.reason == "PrometheusTimeout"


async def test_html_is_not_an_answer() -> None:
    error = await failure(raw(f"<html><body>{SECRET}</body></html>"))
    assert error.reason == "PrometheusInvalidAnswer"


async def test_status_error_in_a_200_is_an_error() -> None:
    error = await failure(raw(json.dumps({"status": "error", "errorType": "execution", "error": SECRET})))
    assert error.message == "Prometheus answered with HTTP status 200 (execution)"


async def test_error_types_of_others_are_not_repeated() -> None:
    error = await failure(raw(json.dumps({"status": "error", "errorType": SECRET}), "422 Unprocessable Entity"))
    assert error.message == "Prometheus answered with HTTP status 422"


@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests", "500 Internal Server Error"])
async def test_nothing_is_retried_and_retry_after_is_not_obeyed(status: str) -> None:
    with serving(raw(SECRET, status, "Retry-After: 7200\r\n")) as server:
        async with client_of(server) as client:
            with pytest.raises(PrometheusError) as caught:
                await client.evaluate("up", ONCE)
    assert caught.value.reason == "PrometheusRefused"
    assert SECRET not in caught.value.message
    assert len(server.requests) == 1


async def test_an_answer_with_warnings_is_not_trusted() -> None:
    error = await failure(ok([sample()], warnings=[SECRET]))
    assert error.reason == "PrometheusPartialAnswer"


async def test_notes_that_are_no_warnings_do_no_harm() -> None:
    with serving(ok([sample()], infos=["metric might not be a counter"])) as server:
        async with client_of(server) as client:
            assert len(await client.evaluate("up", ONCE)) == 1


async def test_a_partial_answer_is_not_trusted() -> None:
    error = await failure(ok([sample()], isPartial=True))
    assert error.reason == "PrometheusPartialAnswer"


async def test_an_oversize_body_is_refused() -> None:
    error = await failure(ok([sample()] * 1000), max_body=10_000)
    assert error.message.endswith("it is longer than 10000 bytes")


async def test_an_endless_body_is_refused_without_being_read(stop: threading.Event) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not stop.is_set():
            connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    assert (await failure(flood, max_body=100_000)).reason == "PrometheusInvalidAnswer"


async def test_a_compressed_body_is_refused_unopened() -> None:
    bomb = gzip.compress(b" " * 1_000_000)
    error = await failure(raw(bomb, headers="Content-Encoding: gzip\r\n"))
    assert "compressed" in error.message


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_a_redirect_is_not_followed_and_leaks_no_headers(status: str) -> None:
    with serving(ok([])) as target:
        error = await failure(raw(SECRET, status, f"Location: {target.url}/api/v1/query\r\n"), headers={"X-Scope-OrgID": "team"})
        assert error.reason == "PrometheusRefused"
        assert target.connections == 0


async def test_netrc_does_not_replace_the_bearer_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine localhost login thief password stolen\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    token = tmp_path / "token"
    token.write_text("right\n")
    with serving(ok([])) as server:
        async with client_of(server, bearer_token_file=token) as client:
            await client.evaluate("up", ONCE)
            token.write_text("rotated")
            await client.evaluate("up", ONCE)
        async with client_of(server) as client:
            await client.evaluate("up", ONCE)
    assert [request.headers.get("authorization") for request in server.requests] == ["Bearer right", "Bearer rotated", None]


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(ok([])) as proxy, serving(ok([])) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with client_of(server) as client:
            await client.evaluate("up", ONCE)
    assert (proxy.connections, len(server.requests)) == (0, 1)


async def test_headers_and_basic_credentials_are_sent(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    with serving(ok([])) as server:
        async with client_of(server, headers={"X-Scope-OrgID": "team"}, basic_auth=("ann", password)) as client:
            await client.evaluate("up", ONCE)
    headers = server.requests[0].headers
    assert headers["x-scope-orgid"] == "team"
    assert headers["authorization"] == "Basic YW5uOm9wZW4gc2VzYW1l"


async def test_a_missing_token_file_is_named_without_its_folder(tmp_path: Path) -> None:
    error = await failure(ok([]), bearer_token_file=tmp_path / "token")
    assert error.message == "Prometheus cannot be reached: token: No such file or directory"


async def test_cookies_are_not_kept() -> None:
    with serving(raw('{"status":"success","data":{"result":[]}}', headers="Set-Cookie: a=b\r\n")) as server:
        async with client_of(server) as client:
            await client.evaluate("up", ONCE)
            await client.evaluate("up", ONCE)
    assert "cookie" not in server.requests[1].headers


async def test_connections_are_reused() -> None:
    with serving(ok([])) as server:
        async with client_of(server) as client:
            for _ in range(5):
                await client.evaluate("up", ONCE)
    assert server.connections == 1


async def test_no_more_queries_than_allowed_are_under_way_at_once() -> None:
    gate = threading.Event()

    def held(connection: socket.socket) -> None:
        gate.wait(0.05)
        ok([])(connection)

    with serving(held) as server:
        async with client_of(server, concurrency=3, timeout=20) as client:
            await asyncio.gather(*(client.evaluate("up", ONCE) for _ in range(30)))
    assert server.most_busy <= 3
    assert len(server.requests) == 30


async def test_waiting_for_a_free_thread_counts_against_the_deadline(stop: threading.Event) -> None:
    with serving(lambda _connection: (stop.wait(30), None)[1]) as server:
        async with client_of(server, concurrency=1, timeout=0.4) as client:
            results = await asyncio.gather(*(client.evaluate("up", ONCE) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, PrometheusError) and result.reason == "PrometheusTimeout" for result in results)


async def test_a_cancelled_query_frees_its_thread(stop: threading.Event) -> None:
    asked = threading.Event()

    def trickle(connection: socket.socket) -> None:
        asked.set()
        trickle_body(stop)(connection)

    with serving(trickle, ok([])) as server:
        async with client_of(server, concurrency=1, timeout=5) as client:
            query = asyncio.create_task(client.evaluate("up", ONCE))
            await asyncio.to_thread(asked.wait)
            query.cancel()
            assert await client.evaluate("up", ONCE) == ()


async def test_a_refused_connection_is_said_in_the_systems_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with client_of(f"http://localhost:{port}") as client:
        with pytest.raises(PrometheusError) as caught:
            await client.evaluate("up", ONCE)
    assert caught.value.message == "Prometheus cannot be reached: Connection refused"


async def test_a_connection_closed_in_mid_answer_is_an_error() -> None:
    def half(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"status":"success","data":{"result":[]')
        connection.shutdown(socket.SHUT_RDWR)

    assert (await failure(half)).reason in {"PrometheusUnreachable", "PrometheusInvalidAnswer"}
