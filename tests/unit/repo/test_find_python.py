"""Which Python the Makefile takes, and what it says when there is none."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def pretend(folder: Path, name: str, *, minor: int, venv: bool = True) -> None:
    """A program that answers like Python 3.`minor` to what the script asks."""
    path = folder / name
    path.write_text(
        f"""#!/bin/sh
case "$*" in
  -V) echo "Python 3.{minor}.0" ;;
  *version_info*) [ {minor} -ge 11 ] ;;
  *ensurepip*) {"true" if venv else "false"} ;;
esac
"""
    )
    path.chmod(0o755)


def find(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "scripts" / "find-python")]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": f"{folder}:/nonexistent"} | environment)


def test_the_usual_name_is_taken_when_it_is_new_enough(tmp_path: Path) -> None:
    pretend(tmp_path, "python3", minor=11)
    pretend(tmp_path, "python3.14", minor=14)
    assert find(tmp_path).stdout.strip() == str(tmp_path / "python3")


def test_a_newer_one_beside_an_old_one_is_found(tmp_path: Path) -> None:
    pretend(tmp_path, "python3", minor=9)
    pretend(tmp_path, "python3.12", minor=12)
    assert find(tmp_path).stdout.strip() == str(tmp_path / "python3.12")


def test_a_named_one_is_taken(tmp_path: Path) -> None:
    pretend(tmp_path, "python3", minor=12)
    pretend(tmp_path, "mine", minor=13)
    assert find(tmp_path, PYTHON="mine").stdout.strip() == str(tmp_path / "mine")


def test_without_one_the_message_says_what_is_needed_and_what_was_found(tmp_path: Path) -> None:
    pretend(tmp_path, "python3", minor=12, venv=False)
    pretend(tmp_path, "python3.11", minor=11, venv=False)
    done = find(tmp_path)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "python3-without-venv" in done.stderr


def test_an_old_one_is_named(tmp_path: Path) -> None:
    pretend(tmp_path, "python3", minor=9)
    (tmp_path / "tr").symlink_to("/usr/bin/tr")
    done = find(tmp_path)
    assert done.returncode == 1
    assert "Found: Python-3.9.0" in done.stderr
