"""Keys, tokens and kubeconfigs."""

import base64
import csv
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from localmesh.credentials import COMPONENTS, Credentials, new_ec_key


def test_every_component_has_a_token_of_its_own(tmp_path: Path) -> None:
    made = Credentials.create(tmp_path)
    with made.token_file.open() as lines:
        rows = list(csv.reader(lines))
    assert [row[1] for row in rows] == list(COMPONENTS)
    assert len({row[0] for row in rows}) == len(COMPONENTS)
    assert {row[3] for row in rows} == {"system:masters"}


def test_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    made = Credentials.create(tmp_path)
    config = made.write_kubeconfig(tmp_path / "kubeconfig", "t", "admin")
    assert {path.stat().st_mode & 0o777 for path in (made.token_file, made.service_account_key, config)} == {0o600}


def test_a_kubeconfig_names_its_user_and_namespace(tmp_path: Path) -> None:
    path = Credentials.create(tmp_path).write_kubeconfig(tmp_path / "kubeconfig", "t", "bot", "shop")
    config = json.loads(path.read_text())
    assert config["users"][0] == {"name": "bot", "user": {"token": "t"}}
    assert config["contexts"][0]["context"] == {"cluster": "localmesh", "user": "bot", "namespace": "shop"}


def test_keys_are_der_of_the_length_they_claim() -> None:
    body = "".join(new_ec_key().splitlines()[1:-1])
    der = base64.b64decode(body)
    assert der[0] == 0x30
    assert der[1] == len(der) - 2
    assert new_ec_key() != new_ec_key()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is the judge")
def test_openssl_reads_the_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(new_ec_key())
    done = subprocess.run(["openssl", "ec", "-in", tmp_path / "key", "-text", "-noout"], capture_output=True, text=True, check=True)
    assert "prime256v1" in done.stdout
