"""meshkit is written in Go and has its own tests there; this runs them with the others. Go remembers passed ones."""

import shutil
import subprocess
from pathlib import Path

import pytest
from localmesh.binaries_catalog import CATALOG, go_line
from localmesh.binaries_go import installed_version, toolchain
from localmesh.binaries_progress import PlainProgress

FOLDER = CATALOG["meshkit"].folder
NEEDED = go_line(FOLDER / "go.mod")
GO = shutil.which("go")


@pytest.mark.skipif(GO is None or (installed_version(Path(GO)) or (0, 0, 0)) < NEEDED, reason="no fitting Go toolchain on PATH")
@pytest.mark.parametrize("command", ["vet", "test"])
def test_meshkit_passes_its_own_checks(command: str, tmp_path: Path) -> None:
    go = toolchain(NEEDED, tmp_path, PlainProgress())
    done = subprocess.run([go.path, command, "./..."], cwd=FOLDER, env=go.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
