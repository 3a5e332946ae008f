"""Client of the control interface."""

import http.client
import json
import socket
from pathlib import Path

from localmesh.errors import LocalMeshError
from localmesh.kube import Object


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


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
