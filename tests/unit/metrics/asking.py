"""A client pointed at a hostile server, and the ways in which that server misbehaves."""

import contextlib
import socket
import threading
from collections.abc import AsyncIterator

import pytest
from canaryrollout.metrics.endpoint import PrometheusEndpoint
from canaryrollout.metrics.errors import PrometheusError
from canaryrollout.metrics.prometheus import PrometheusClient
from hostile import Answer, Hostile, serving

AT = 1_700_000_000_123
ONCE = range(AT, AT + 1)
SECRET = "root:x:0:0 internal-service-secret"


def sample(value: str = "7", time: float = AT / 1000) -> dict[str, object]:
    return {"metric": {"reporter": "source"}, "value": [time, value]}


@contextlib.asynccontextmanager
async def client_of(server: Hostile | str, **settings: object) -> AsyncIterator[PrometheusClient]:
    url = server if isinstance(server, str) else server.url
    client = PrometheusClient(PrometheusEndpoint(**{"url": url, "timeout": 10.0, **settings}))  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.close()


async def failure(*answers: Answer, **settings: object) -> PrometheusError:
    with serving(*answers) as server:
        async with client_of(server, **settings) as client:
            with pytest.raises(PrometheusError) as caught:
                await client.evaluate("up", ONCE)
    assert SECRET not in str(caught.value)
    return caught.value


def trickle_body(stop: threading.Event) -> Answer:
    def send(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.05):
            connection.sendall(b" ")

    return send


def trickle_headers(stop: threading.Event) -> Answer:
    def send(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not stop.wait(0.05):
            connection.sendall(b"x")

    return send
