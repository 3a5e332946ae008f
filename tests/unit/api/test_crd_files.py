"""The definition that is kept in files, and its generator's command line."""

import subprocess
import sys
from pathlib import Path

from canaryrollout.api import crd

ROOT = Path(__file__).resolve().parents[3]


def check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "canaryrollout.api.crd", "--check", "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT / "operator")})


def test_the_kept_files_are_those_of_the_models() -> None:
    assert crd.drift(ROOT) == "", "run `make crds`"


def test_written_files_show_no_drift(tmp_path: Path) -> None:
    crd.write(tmp_path)
    assert check(tmp_path).returncode == 0


def test_a_changed_file_is_reported_with_the_difference(tmp_path: Path) -> None:
    crd.write(tmp_path)
    path = tmp_path / crd.FILES[0]
    path.write_text(path.read_text().replace("crollout", "rollout"))
    done = check(tmp_path)
    assert done.returncode == 1
    assert "+    - crollout" in done.stdout


def test_a_missing_file_is_drift(tmp_path: Path) -> None:
    assert check(tmp_path).returncode == 1


def test_every_string_and_list_of_the_spec_is_bounded() -> None:
    """The API server bounds the cost of CEL rules by these limits."""
    spec = crd.custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert list(_unbounded(spec, "spec")) == []


def _unbounded(schema: dict[str, object], path: str) -> list[str]:
    found = []
    if schema["type"] == "string" and not {"maxLength", "enum"} & schema.keys():
        found.append(path)
    if schema["type"] == "array" and "maxItems" not in schema:
        found.append(path)
    for name, child in schema.get("properties", {}).items():  # type: ignore[attr-defined]
        found += _unbounded(child, f"{path}.{name}")
    if "items" in schema:
        found += _unbounded(schema["items"], f"{path}[]")  # type: ignore[arg-type]
    return found
