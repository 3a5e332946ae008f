"""Tokens, keys and kubeconfigs."""

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from localmesh.addresses import APISERVER_IP, APISERVER_PORT

APISERVER_URL = f"https://{APISERVER_IP}:{APISERVER_PORT}"

COMPONENTS = ("admin", "istiod", "kube-controller-manager", "localmesh")
"""Users with a token of their own, so that the audit log tells them apart. All are cluster admins; whatever is
under test gets the token of its ServiceAccount instead."""


@dataclass(frozen=True)
class Credentials:
    """Files of one mesh's identity, all in one folder."""

    folder: Path
    tokens: dict[str, str]

    @property
    def token_file(self) -> Path:
        return self.folder / "tokens.csv"

    @property
    def service_account_key(self) -> Path:
        return self.folder / "service-account.key"

    @property
    def ca(self) -> Path:
        """Certificates that the API server makes for itself when it starts: its own, then its CA's."""
        return self.folder / "apiserver.crt"

    @property
    def tls_key(self) -> Path:
        return self.folder / "apiserver.key"

    @classmethod
    def create(cls, folder: Path) -> "Credentials":
        made = cls(folder, {name: secrets.token_urlsafe(24) for name in COMPONENTS})
        lines = [f'{token},{name},{name},"system:masters"' for name, token in made.tokens.items()]
        _write_secret(made.token_file, "\n".join(lines) + "\n")
        _write_secret(made.service_account_key, new_ec_key())
        return made

    def write_kubeconfig(self, path: Path, token: str, user: str, namespace: str = "default") -> Path:
        _write_secret(path, json.dumps(kubeconfig(APISERVER_URL, self.ca, token, user, namespace), indent=2))
        return path


def kubeconfig(server: str, ca: Path, token: str, user: str, namespace: str) -> dict[str, object]:
    """A kubeconfig with one context, as JSON (which is YAML)."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "localmesh", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "localmesh", "context": {"cluster": "localmesh", "user": user, "namespace": namespace}}],
        "current-context": "localmesh",
    }


def new_ec_key() -> str:
    """A P-256 private key as PEM (RFC 5915; the public key is left out, readers derive it)."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    scalar = (secrets.randbelow(order - 1) + 1).to_bytes(32, "big")
    version = b"\x02\x01\x01"
    private = b"\x04\x20" + scalar
    curve = b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
    body = version + private + curve
    der = b"\x30" + bytes([len(body)]) + body
    encoded = base64.b64encode(der).decode()
    lines = "\n".join(encoded[i : i + 64] for i in range(0, len(encoded), 64))
    return f"-----BEGIN EC PRIVATE KEY-----\n{lines}\n-----END EC PRIVATE KEY-----\n"


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
