"""What commands say where there is no way to a cluster: one line, and an exit code of its own."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer
from canaryrollout.cli.cluster import Way
from canaryrollout.cli.main import app
from typer.testing import CliRunner

WAY = """
current-context: here
contexts: [{name: here, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {%s}}]
users: [{name: u, user: {token: stale}}]
"""


@pytest.fixture(autouse=True)
def outside_of_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize("text", ["", "[]", "text", "contexts: 5"])
def test_a_kubeconfig_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    result = CliRunner().invoke(app, ["list", "--kubeconfig", str(path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: no usable Kubernetes configuration: the kubeconfig is empty, or has another form\n"


def test_certificates_that_are_none_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(WAY % 'server: "https://127.0.0.1:1", certificate-authority-data: "%%%"')
    result = CliRunner().invoke(app, ["list", "--kubeconfig", str(path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: no usable Kubernetes configuration: its certificates cannot be read: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["status", ""], ["status", "", "--wait"], ["plan", ""]])
def test_a_variable_that_is_not_set_asks_for_no_list(command: list[str]) -> None:
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stderr) == (2, "error: the name of the CanaryRollout is empty\n")


@pytest.mark.parametrize(("module", "command"), [("status", ["status", "reviews"]), ("status", ["list"]), ("plan", ["plan", "reviews"])])
def test_every_command_that_asks_a_cluster_takes_the_same_way_to_it(
    monkeypatch: pytest.MonkeyPatch, module: str, command: list[str]
) -> None:
    ways: list[Way] = []

    def on_cluster(_work: object, way: Way) -> None:
        ways.append(way)
        raise typer.Exit(0)

    monkeypatch.setattr(f"canaryrollout.cli.{module}.on_cluster", on_cluster)
    assert CliRunner().invoke(app, [*command, "-n", "shop", "--kubeconfig", "config", "--context", "there"]).exit_code == 0
    assert CliRunner().invoke(app, command).exit_code == 0
    assert ways == [Way("shop", Path("config"), "there"), Way(None, None, None)]


class _Stranger(BaseHTTPRequestHandler):
    """Of an API server that knows nobody."""

    def do_GET(self) -> None:
        body = json.dumps(
            {"kind": "Status", "status": "Failure", "message": "Unauthorized", "reason": "Unauthorized", "code": 401}
        ).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_credentials_that_have_expired_are_called_that(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    with ThreadingHTTPServer(("127.0.0.1", 0), _Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        path.write_text(WAY % f'server: "http://127.0.0.1:{server.server_port}"')
        result = CliRunner().invoke(app, ["list", "--kubeconfig", str(path)])
        server.shutdown()
    assert result.exit_code == 1
    assert result.stderr == (
        "error: the API server does not accept the kubeconfig's credentials: they are missing or have expired, log in again\n"
    )
