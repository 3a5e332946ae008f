"""The far end of a port-forward as the protocol has it, with faults that a real kubelet and Envoy do not show on demand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web
from canaryrollout.kube.client import KubeClient
from kubernetes.aio.client import Configuration

PORT = 15000


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """An HTTP answer with a length."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(*chunks: bytes) -> bytes:
    """As Envoy's admin answers."""
    body = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in (*chunks, b""))
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body


@dataclass
class Far:
    """What the pods' port says: `say` gets the pod's name and the request and returns all bytes of the data channel."""

    say: Callable[[str, bytes], Awaitable[bytes]]
    failure: bytes = b""
    """What the kubelet says on the error channel instead."""
    refusal: int = 0
    """The API server's status code instead of an upgrade."""
    refused: int = 0
    asked: list[str] = field(default_factory=list)
    """The pods in the order of their requests."""
    open: int = 0
    most: int = 0
    """The most connections at a time."""

    async def closed(self) -> bool:
        """Whether nobody is connected."""
        return not self.open

    async def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return self.open > 0 and bool(self.asked)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        assert request.query["ports"] == str(PORT)
        if self.refusal:
            self.refused += 1
            return web.Response(status=self.refusal)
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await self._talk(socket, request.match_info["pod"])
        finally:
            self.open -= 1
        return socket

    async def _talk(self, socket: web.WebSocketResponse, pod: str) -> None:
        port = PORT.to_bytes(2, "little")
        await socket.send_bytes(b"\x00" + port)
        await socket.send_bytes(b"\x01" + port)
        if self.failure:
            await socket.send_bytes(b"\x01" + self.failure)
            return
        message = await socket.receive()
        assert message.type is WSMsgType.BINARY
        assert message.data[0] == 0
        self.asked.append(pod)
        speaking = asyncio.create_task(self.say(pod, message.data[1:]))
        listening = asyncio.create_task(socket.receive())
        await asyncio.wait({speaking, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if not speaking.done():  # the client has gone
            speaking.cancel()
            return
        body = speaking.result()
        for start in range(0, len(body), 1000):
            await socket.send_bytes(b"\x00" + body[start : start + 1000])
        await socket.close()


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Ask until it holds."""
    async with asyncio.timeout(seconds):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def streaming(far: Far) -> AsyncIterator[KubeClient]:
    """A client of an API server that has nothing but port-forward."""
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/{namespace}/pods/{pod}/portforward", far.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with KubeClient(Configuration(host=f"http://{host}:{port}")) as kube:
            yield kube
    finally:
        await runner.cleanup()
