"""HTTP through port-forward: what comes back, whatever goes wrong on the way."""

import asyncio

import pytest
from canaryrollout.mesh.portforward import BadAnswer, ForwardDenied, ForwardError, NoAnswer, PodGone, PortForward
from streaming_server import PORT, Far, answer, chunked, streaming, until


async def ask(far: Far, *paths: str, limit: int = 1_000_000, seconds: float = 5.0) -> list[bytes]:
    async with streaming(far) as kube:
        forward = PortForward(kube, limit=limit)
        try:
            return await forward.get("shop", "client-7", PORT, paths or ("/config_dump",), seconds=seconds)
        finally:
            await until(far.closed)


def saying(data: bytes) -> Far:
    async def say(pod: str, request: bytes) -> bytes:
        return data

    return Far(say)


async def test_the_bodies_of_several_requests_over_one_connection() -> None:
    requests = []

    async def say(pod: str, request: bytes) -> bytes:
        requests.append(request)
        return chunked(b"{", b"}" * 5000) + answer(b"second")

    assert await ask(Far(say), "/one", "/two?x=y") == [b"{" + b"}" * 5000, b"second"]
    (sent,) = requests
    assert sent.count(b"Connection: close\r\n") == 1, "the last request ends the connection"
    assert sent.index(b"GET /one HTTP/1.1\r\n") < sent.index(b"GET /two?x=y HTTP/1.1\r\n") < sent.index(b"Connection: close")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", NoAnswer),
        (answer(b"no such thing", "404 Not Found"), BadAnswer),
        (answer(b"complete")[:-3], BadAnswer),
        (chunked(b"complete")[:-9], BadAnswer),
        (b"SSH-2.0-OpenSSH_9.6\r\n", BadAnswer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: much\r\n\r\n", BadAnswer),
        (b"\x00" * 50, BadAnswer),
        (answer(b"x" * 20_000), BadAnswer),
    ],
    ids=["nothing", "404", "cut off", "cut off in chunks", "not HTTP", "bad length", "zeros", "too large"],
)
async def test_what_is_no_complete_answer_is_an_error(data: bytes, error: type[ForwardError]) -> None:
    with pytest.raises(error, match=r"\S"):
        await ask(saying(data), limit=10_000)


async def test_the_kubelets_own_words() -> None:
    far = saying(b"")
    far.failure = b"error forwarding port 15000 to pod: connection refused"
    with pytest.raises(NoAnswer, match="connection refused"):
        await ask(far)


async def test_a_missing_right() -> None:
    far = saying(b"")
    far.refusal = 403
    with pytest.raises(ForwardDenied, match="pods/portforward is forbidden in namespace shop"):
        await ask(far)


async def test_a_pod_that_is_gone() -> None:
    far = saying(b"")
    far.refusal = 404
    with pytest.raises(PodGone, match="no pod shop/client-7"):
        await ask(far)


async def test_no_api_server() -> None:
    async with streaming(saying(b"")) as kube:
        kube._api.configuration.host = "http://127.0.0.1:1"
        with pytest.raises(NoAnswer, match="cannot reach"):
            await PortForward(kube).get("shop", "client-7", PORT, ("/",), seconds=5)


async def test_a_port_that_hangs_is_given_up_and_its_connection_closed() -> None:
    async def hang(pod: str, request: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    far = Far(hang)
    with pytest.raises(NoAnswer, match="no answer within"):
        await ask(far, seconds=0.2)
    assert far.open == 0


async def test_connections_at_a_time_are_bounded() -> None:
    async def slow(pod: str, request: bytes) -> bytes:
        await asyncio.sleep(0.02)
        return answer(pod.encode())

    far = Far(slow)
    async with streaming(far) as kube:
        forward = PortForward(kube, at_once=3)
        bodies = await asyncio.gather(*(forward.get("shop", f"p{n}", PORT, ("/",), seconds=5) for n in range(12)))
    assert bodies == [[f"p{n}".encode()] for n in range(12)]
    assert far.most == 3
