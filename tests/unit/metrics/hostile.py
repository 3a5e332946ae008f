"""An HTTP server on loopback that behaves as badly as it is told, and remembers what it was sent."""

import contextlib
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs

Answer = Callable[[socket.socket], None]


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire."""

    line: str
    headers: dict[str, str]
    form: dict[str, list[str]]


@dataclass
class Hostile:
    """`answers` are given in turn, the last one for ever."""

    answers: list[Answer]
    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    busy: int = 0
    most_busy: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"


def ok(result: object, result_type: str = "vector", **extra: object) -> Answer:
    """A successful answer of Prometheus."""
    return raw(json.dumps({"status": "success", "data": {"resultType": result_type, "result": result}, **extra}))


def raw(body: str | bytes, status: str = "200 OK", headers: str = "") -> Answer:
    """Any complete answer."""
    payload = body.encode() if isinstance(body, str) else body

    def send(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(payload)}\r\n{headers}\r\n".encode() + payload)

    return send


def read_request(connection: socket.socket) -> Request | None:
    """The next request, or None at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (entry.partition(":") for entry in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    return Request(line, headers, parse_qs(body.decode()))


@contextlib.contextmanager
def serving(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """Run the server in threads of its own."""
    state = Hostile(list(answers), scheme="https" if tls else "http")
    stopped = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, ssl.SSLError), contextlib.ExitStack() as stack:
                connection = stack.enter_context(tls.wrap_socket(self.request, server_side=True)) if tls else self.request
                with state.lock:
                    state.connections += 1
                while not stopped.is_set() and (request := read_request(connection)):
                    self.answer(connection, request)

        def answer(self, connection: socket.socket, request: Request) -> None:
            with state.lock:
                state.requests.append(request)
                answer = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
                state.busy += 1
                state.most_busy = max(state.most_busy, state.busy)
            try:
                answer(connection)
            finally:
                with state.lock:
                    state.busy -= 1

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            stopped.set()
            server.shutdown()
            thread.join()
