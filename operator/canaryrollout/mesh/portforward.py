"""HTTP GET to a port of a pod's localhost, through the API server's `pods/portforward` and the kubelet.

The protocol (source: k8s.io/cri-streaming/pkg/streaming/portforward/websocket.go, which kubelets and container runtimes serve
and the API server passes on): a WebSocket with subprotocol v4.channel.k8s.io whose binary messages begin with the number of a
channel. Channel 0 carries the data, channel 1 what the kubelet has to say when it fails; each begins with the port, two bytes,
little endian. Neither side can half-close, so the last request asks the server to close. RBAC knows the request as `get`, from
Kubernetes 1.35 on as `create` in addition.
"""

import asyncio
import contextlib
import io
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from typing import Any

import aiohttp

from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import ApiError, Forbidden, KindMissing, NotFound
from canaryrollout.kube.resources import PODS

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
AT_ONCE = 4
"""Connections at a time, of all rollouts: each goes through the API server and a kubelet, and its answer is held in memory."""
ANSWER_LIMIT = 16 * 1024 * 1024
ERROR_LIMIT = 200
PIPELINED = 2
"""Envoy takes more unanswered requests on one connection for an attack and closes it."""


class ForwardError(Exception):
    """The port did not give an answer."""


class ForwardDenied(ForwardError):
    """The API server does not let us: `pods/portforward` is missing from our rights."""


class PodGone(ForwardError):
    """There is no such pod (any more)."""


class NoAnswer(ForwardError):
    """Nothing listens, or nothing came within the time, or the connection broke."""


class BadAnswer(ForwardError):
    """Something answered, but not with what was asked for."""


class PortForward:
    """Asks pods. Raises ForwardError."""

    def __init__(self, kube: KubeClient, *, at_once: int = AT_ONCE, limit: int = ANSWER_LIMIT) -> None:
        self._kube = kube
        self._slots = asyncio.Semaphore(at_once)
        self._limit = limit

    async def get(self, namespace: str, pod: str, port: int, paths: Sequence[str], *, seconds: float) -> list[bytes]:
        """The bodies of the answers (all 200) to at most PIPELINED requests over one connection.

        `seconds` count from when a connection is free, and bound everything after that.
        """
        if len(paths) > PIPELINED:
            raise ValueError(f"more than {PIPELINED} requests")
        async with self._slots:
            try:
                async with asyncio.timeout(seconds):
                    answer = await self._exchange(namespace, pod, port, _requests(paths))
            except TimeoutError as error:
                raise NoAnswer(f"no answer within {seconds:g} s") from error
            except Forbidden as error:
                raise ForwardDenied(f"pods/portforward is forbidden in namespace {namespace}") from error
            except (NotFound, KindMissing) as error:  # a failed handshake does not tell them apart
                raise PodGone(f"no pod {namespace}/{pod}") from error
            except ApiError as error:
                raise NoAnswer(f"the API server cannot reach it: {error}"[:ERROR_LIMIT]) from error
            except (aiohttp.ClientError, OSError) as error:
                raise NoAnswer(f"the connection broke: {type(error).__name__}") from error
        return _bodies(answer, len(paths))

    async def _exchange(self, namespace: str, pod: str, port: int, request: bytes) -> bytes:
        """All bytes that come back until the other side closes."""
        path = PODS.path(namespace, pod, "portforward")
        data, failure = bytearray(), bytearray()
        async with self._kube.websocket(path, {"ports": str(port)}, PROTOCOL) as socket:
            with contextlib.suppress(ConnectionResetError):  # refused already: what it had to say still comes
                await socket.send_bytes(bytes([DATA]) + request)
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                    raise BadAnswer(f"unexpected WebSocket message of type {message.type!r}")
                channel = {DATA: data, ERROR: failure}.get(message.data[0])
                if channel is None:
                    raise BadAnswer(f"message on channel {message.data[0]}")
                channel += message.data[1:]
                if len(data) + len(failure) > self._limit:
                    raise BadAnswer(f"the answer is larger than {self._limit} bytes")
        if len(failure) > 2:
            raise NoAnswer(bytes(failure[2:]).decode(errors="replace")[:ERROR_LIMIT])
        return bytes(data[2:])


def _requests(paths: Sequence[str]) -> bytes:
    """One after the other (HTTP/1.1 pipelining); after the last the server closes."""
    closing = [*[""] * (len(paths) - 1), "Connection: close\r\n"]
    requests = (f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n" for path, close in zip(paths, closing, strict=True))
    return "".join(requests).encode("ascii")


class _Received:
    """What HTTPResponse takes for a socket. Each answer begins where the one before it ended."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def makefile(self, *_: object) -> "_Received":
        return self

    def readline(self, limit: int = -1) -> bytes:
        return self._data.readline(limit)

    def read(self, amount: int = -1) -> bytes:
        return self._data.read(amount)

    def close(self) -> None:
        """The next answer is still to be read."""

    def flush(self) -> None:
        """Nothing is written."""


def _bodies(answer: bytes, count: int) -> list[bytes]:
    """The bodies of so many answers; they must be complete."""
    received: Any = _Received(answer)
    return [_body(received) for _ in range(count)]


def _body(received: Any) -> bytes:
    response = HTTPResponse(received)
    try:
        response.begin()
        if response.length is None and not getattr(response, "chunked", False):
            raise BadAnswer("the answer does not tell its length")
        body = response.read()
    except RemoteDisconnected as error:
        raise NoAnswer("the connection was closed without an answer") from error
    except (HTTPException, ValueError) as error:
        raise BadAnswer(f"the answer is no complete HTTP answer: {type(error).__name__}") from error
    if response.status != HTTPStatus.OK:
        raise BadAnswer(f"HTTP {response.status}")
    return body
