"""Client of the control interface."""

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from localmesh.errors import LocalMeshError
from localmesh.kube import Object


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Another name for a path, while the block runs: a unix socket's may have no more than 107 characters."""
    folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with short_path(self._path) as path:
            self.sock.connect(path)


def call(control_socket: Path, name: str, body: Object | None = None, timeout: float = 60.0) -> Object:
    """One call of the control interface; LocalMeshError with its text when it fails or nobody answers."""
    connection = _UnixConnection(control_socket, timeout)
    try:
        connection.request("POST", f"/{name}", json.dumps(body or {}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
    except OSError as error:
        raise LocalMeshError(f"the mesh's daemon does not answer on {control_socket}: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise LocalMeshError(text)
    value = json.loads(text)
    assert isinstance(value, dict)
    return value
