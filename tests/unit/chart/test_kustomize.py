"""deploy/kustomize and deploy/observability, which are made from the chart."""

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "kustomize"


def test_the_kept_files_are_those_of_the_chart() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "kustomize.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_is_listed_and_exists() -> None:
    listed = set(yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"])
    assert listed == {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}


def test_nothing_in_them_speaks_of_helm() -> None:
    for path in FOLDER.glob("*.yaml"):
        assert "helm" not in path.read_text().lower()
