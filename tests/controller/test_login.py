"""kopf's watches and our own client talk to one and the same API server."""

from pathlib import Path

import pytest
import yaml
from canaryrollout import app
from canaryrollout.kube import config


def kubeconfig(path: Path) -> Path:
    names = ("here", "there")
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example:6443"}} for name in names],
        "users": [{"name": name, "user": {"token": f"token-of-{name}"}} for name in names],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(("context", "name"), [(None, "here"), ("here", "here"), ("there", "there")])
async def test_the_context_that_was_asked_for_is_watched(tmp_path: Path, context: str | None, name: str) -> None:
    found = await app._login(kubeconfig(tmp_path / "config"), context)(settings=None)
    assert found.server == f"https://{name}.example:6443"
    assert found.as_http_headers() == {"Authorization": f"Bearer token-of-{name}"}


async def test_a_token_that_was_rotated_is_read_at_the_next_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    authority.write_text("a certificate")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(config, "SERVICE_CERT_FILENAME", str(authority))
    login = app._login(None, None)
    found = await login(settings=None)
    assert (found.server, found.ca_path, found.token) == ("https://10.0.0.1:443", str(authority), "first")
    token.write_text("second")
    assert (await login(settings=None)).token == "second"
