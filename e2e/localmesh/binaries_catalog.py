"""Which programs the local mesh is made of, and how each is built from its published Go module.

Every part has its own small module in `tools/`, because their dependency graphs conflict. go.mod and go.sum there
are the only place where versions are set; what a program prints as its version is read from go.mod too.
"""

import functools
import hashlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path

TOOLS = Path(__file__).parent / "tools"

Version = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Binary:
    """One program."""

    name: str
    module: str
    """Folder in `tools/` that holds go.mod and go.sum."""
    package: str = "."
    tags: str = ""
    stamps: tuple[tuple[str, str], ...] = ()
    """Linker `-X` pairs: Go variable, value. `{version}` in the value stands for the required module's version."""
    minutes: float
    """Cold build on two cores, in the order of the catalog (later programs find packages of earlier ones compiled)."""
    version_args: tuple[str, ...] = ("--version",)
    version_pattern: str = r"v?(\d+)\.(\d+)(?:\.(\d+))?"
    """Of the major, minor and patch number in the standard output of `version_args`."""
    minimum: Version | None = None
    """Least version that is taken from PATH and KUBEBUILDER_ASSETS; None: only our own build will do."""

    @property
    def folder(self) -> Path:
        return TOOLS / self.module

    def build_flags(self) -> list[str]:
        """Flags of `go build` that change the program."""
        values = {key: value.format_map(_Versions(self.folder / "go.mod")) for key, value in self.stamps}
        linker = " ".join(["-s -w", *(f"-X {key}={value}" for key, value in values.items())])
        return ["-trimpath", f"-ldflags={linker}", *([f"-tags={self.tags}"] if self.tags else [])]

    def digest(self) -> str:
        """Changes whenever the program would: with its versions, flags, own sources and the machine's architecture."""
        digest = hashlib.sha256()
        for part in (go_architecture(), self.package, *self.build_flags()):
            digest.update(part.encode() + b"\0")
        for path in sorted(_sources(self.folder)):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.folder)}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()[:16]


class _Versions(dict[str, str]):
    """Maps a module's path to its version required in go.mod, as {path} in a stamp; `major` and so on by name."""

    def __init__(self, go_mod: Path) -> None:
        super().__init__()
        self._go_mod = go_mod

    def __missing__(self, path: str) -> str:
        return required_version(self._go_mod, path)


def _sources(folder: Path) -> list[Path]:
    own = [path for path in folder.rglob("*.go") if not path.name.endswith("_test.go")]
    return [folder / "go.mod", folder / "go.sum", *own]


def required_version(go_mod: Path, module: str) -> str:
    """The version of a module as go.mod requires it, such as "v1.36.3"; LookupError where it does not."""
    match = re.search(rf"^(?:require|\t)\s*{re.escape(module)} (v\S+)", go_mod.read_text(), re.MULTILINE)
    if match is None:
        raise LookupError(f"{go_mod} does not require {module}")
    return match[1]


def go_line(go_mod: Path) -> Version:
    """The least Go version of a module, of its `go` line."""
    match = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?", go_mod.read_text(), re.MULTILINE)
    if match is None:
        raise LookupError(f"{go_mod} has no go line")
    return tuple(int(part or 0) for part in match.groups())


@functools.cache
def go_architecture() -> str:
    """GOARCH of this machine; the machine's own name where Go has another."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
