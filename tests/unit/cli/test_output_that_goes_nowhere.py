"""How commands end whose output nobody takes: a pipe that its reader has closed, a full disk, no standard output at all."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = "tests/unit/cli/plan/reviews.yaml"
COMMANDS = [
    ["plan", "--offline", "-f", EXAMPLE],
    ["plan", "--offline", "-f", EXAMPLE, "-o", "json"],
    ["simulate", "-f", EXAMPLE, "--runs", "1"],
    ["version"],
    ["plan", "--help"],
]
FULL = Path("/dev/full")


def ended(arguments: list[str], stdout: int | IO[str], entry: str = "main") -> tuple[int, str]:
    """The exit code and standard error."""
    command = [sys.executable, "-c", f"from canaryrollout.__main__ import {entry}; {entry}()", *arguments]
    return run(command, stdout)


def run(command: list[str], stdout: int | IO[str] | None) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=environment, timeout=60, cwd=ROOT)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_reader_that_has_seen_enough_ends_a_command_quietly_as_sigpipe_would(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended(arguments, writer) == (141, "")
    finally:
        os.close(writer)


def test_the_plugin_of_kubectl_ends_in_the_same_way() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert ended(["version"], writer, "kubectl") == (141, "")
    finally:
        os.close(writer)


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_disk_is_one_line_and_no_success(arguments: list[str]) -> None:
    with FULL.open("w") as full:
        assert ended(arguments, full) == (9, "error: standard output cannot be written: No space left on device\n")


def test_output_that_is_taken_keeps_the_command_s_own_code(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as taken:
        assert ended([*COMMANDS[0], "--fail-on", "warning"], taken) == (8, "")
    assert (tmp_path / "out").read_text().startswith("CanaryRollout bookinfo/reviews: v1 to v2")


def test_without_a_standard_output_the_exit_code_still_tells() -> None:
    command = f"exec {sys.executable} -m canaryrollout plan --offline -f {EXAMPLE} --fail-on warning >&-"
    assert run(["/bin/sh", "-c", command], None) == (8, "")
