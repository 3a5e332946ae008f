"""The client over TLS: whom it trusts, how it shows itself, and that it can be cut."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ONCE, client_of, trickle_body
from canaryrollout.metrics.errors import PrometheusError
from hostile import ok, serving


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that is its own authority, used on both sides."""
    folder = tmp_path_factory.mktemp("tls")
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", "req", *options, *files], check=True, capture_output=True)
    return folder


def server_tls(certificates: Path, *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates / "cert.pem")
    return context


async def test_an_authority_of_ones_own_is_trusted_and_others_are_not(certificates: Path) -> None:
    with serving(ok([]), tls=server_tls(certificates)) as server:
        async with client_of(server, ca_file=certificates / "cert.pem") as client:
            assert await client.evaluate("up", ONCE) == ()
        async with client_of(server) as client:
            with pytest.raises(PrometheusError, match="its certificate is not accepted"):
                await client.evaluate("up", ONCE)


async def test_a_client_certificate_is_presented(certificates: Path) -> None:
    ours = {
        "ca_file": certificates / "cert.pem",
        "client_cert_file": certificates / "cert.pem",
        "client_key_file": certificates / "key.pem",
    }
    with serving(ok([]), tls=server_tls(certificates, mutual=True)) as server:
        async with client_of(server, **ours) as client:
            assert await client.evaluate("up", ONCE) == ()
        async with client_of(server, ca_file=certificates / "cert.pem") as client:
            with pytest.raises(PrometheusError) as caught:
                await client.evaluate("up", ONCE)
    assert caught.value.reason == "PrometheusUnreachable"


async def test_a_missing_authority_file_is_an_error_not_a_crash(tmp_path: Path, certificates: Path) -> None:
    with serving(ok([]), tls=server_tls(certificates)) as server:
        async with client_of(server, ca_file=tmp_path / "gone.pem") as client:
            with pytest.raises(PrometheusError, match="a file of its TLS settings is missing"):
                await client.evaluate("up", ONCE)


async def test_a_trickling_answer_over_tls_frees_its_thread_too(stop: threading.Event, certificates: Path) -> None:
    with serving(trickle_body(stop), ok([]), tls=server_tls(certificates)) as server:
        async with client_of(server, timeout=1.5, concurrency=1, ca_file=certificates / "cert.pem") as client:
            with pytest.raises(PrometheusError, match="completely within"):
                await client.evaluate("up", ONCE)
            assert await client.evaluate("up", ONCE) == ()


def close_the_next(listener: socket.socket) -> None:
    listener.accept()[0].close()


async def test_a_tls_handshake_that_trickles_is_cut_and_frees_its_thread(stop: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            trickling, _ = listener.accept()
            closing = threading.Thread(target=close_the_next, args=(listener,))
            closing.start()
            with contextlib.suppress(OSError), trickling:
                trickling.sendall(b"\x16\x03\x03\x40\x00")  # a handshake record of 16 KiB, byte by byte
                while not stop.wait(0.05):
                    trickling.sendall(b"\x02")
            closing.join()

        server = threading.Thread(target=serve)
        server.start()
        async with client_of(f"https://localhost:{listener.getsockname()[1]}", timeout=1.5, concurrency=1) as client:
            reasons = []
            for _ in range(2):
                with pytest.raises(PrometheusError) as caught:
                    await client.evaluate("up", ONCE)
                reasons.append(caught.value.reason)
        stop.set()
        server.join()
    assert reasons == ["PrometheusTimeout", "PrometheusUnreachable"]
