"""A real API server, etcd and kube-apiserver on loopback, and a small client for it."""

import contextlib
import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from localmesh.addresses import free_ports
from localmesh.binaries import ensure, istio_crds
from localmesh.credentials import kubeconfig, new_ec_key

START_SECONDS = 60.0


@dataclass(frozen=True)
class ApiServer:
    """Where it listens and how to get in, as a member of system:masters."""

    url: str
    token: str
    ca: Path

    def request(
        self, method: str, path: str, body: object = None, content_type: str = "application/json", accept: str = "application/json"
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type, "Accept": accept}
        return requests.request(method, self.url + path, json=body, verify=str(self.ca), timeout=30, headers=headers)

    def create(self, path: str, body: object) -> dict[str, Any]:
        response = self.request("POST", path, body)
        response.raise_for_status()
        created: dict[str, Any] = response.json()
        return created

    def write_kubeconfig(self, path: Path) -> Path:
        path.write_text(json.dumps(kubeconfig(self.url, self.ca, self.token, "admin", "default")))
        return path


def wait_until(ready: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Poll until `ready`, which may raise OSError while a server is not there yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(0.1)
    pytest.fail(f"{what} within {seconds:.0f} s")


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """A server for the time of the block."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _etcd(binary: Path, folder: Path, client: int, peer: int) -> list[str]:
    client_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    return [
        str(binary),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",
    ]


def _apiserver(binary: Path, folder: Path, etcd: int, port: int, token: str) -> list[str]:
    tokens, key = folder / "tokens.csv", folder / "service-account.key"
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    key.write_text(new_ec_key())
    return [
        str(binary),
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--endpoint-reconciler-type=none",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
    ]


@contextlib.contextmanager
def running_apiserver(folder: Path) -> Iterator[ApiServer]:
    """etcd and kube-apiserver with RBAC, their files and logs in `folder`, until the end of the block."""
    found = ensure(["etcd", "kube-apiserver"])
    token = secrets.token_urlsafe(16)
    client, peer, port = free_ports(3)
    server = ApiServer(f"https://127.0.0.1:{port}", token, folder / "apiserver.crt")
    with (
        running(_etcd(found["etcd"], folder, client, peer), folder / "etcd.log"),
        running(_apiserver(found["kube-apiserver"], folder, client, port, token), folder / "apiserver.log"),
    ):
        wait_until(lambda: server.ca.exists() and server.request("GET", "/readyz").ok, "the API server is not ready")
        yield server


def serve_istio(server: ApiServer, *kinds: str) -> None:
    """Bring Istio's definitions of these kinds, and wait until they are served."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for definition in yaml.load_all(istio_crds().read_text(), Loader=loader):
        names = definition["spec"]["names"] if definition else {"kind": ""}
        if names["kind"] in kinds:
            server.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
            path = f"/apis/networking.istio.io/v1/{names['plural']}"
            wait_until(partial(_answers, server, path), f"{names['kind']} is not served")


def _answers(server: ApiServer, path: str) -> bool:
    return server.request("GET", path).ok
