"""Which programs the local mesh is made of, and how each is built from its published Go module.

Every part has its own small module in `tools/`, because their dependency graphs conflict; go.mod and go.sum there
pin what is built.
"""

import functools
import hashlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path

TOOLS = Path(__file__).parent / "tools"

Version = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Binary:
    """One program."""

    name: str
    folder: Path
    """Holds go.mod and go.sum."""
    package: str = "."
    tags: str = ""
    stamps: tuple[str, ...] = ()
    """Go variables set by the linker, as VARIABLE=VALUE."""
    minutes: float
    """A cold build on two cores, in the order of the catalog: later programs find packages of earlier ones compiled."""
    minimum: Version | None = None
    """Least version that is taken from KUBEBUILDER_ASSETS and PATH; None: only our own build will do."""
    version_args: tuple[str, ...] = ("--version",)
    version_pattern: str = r"(\d+)\.(\d+)(?:\.(\d+))?"
    """Finds major, minor and patch number in what the program prints for `version_args`."""

    def build_flags(self) -> list[str]:
        """Flags of `go build` that change the program."""
        linker = " ".join(["-s -w", *(f"-X {stamp}" for stamp in self.stamps)])
        return ["-trimpath", f"-ldflags={linker}", *([f"-tags={self.tags}"] if self.tags else [])]

    def digest(self) -> str:
        """Changes whenever the program would: with pinned versions, flags, own sources and architecture."""
        digest = hashlib.sha256()
        for part in (go_architecture(), self.package, *self.build_flags()):
            digest.update(part.encode() + b"\0")
        for path in _sources(self.folder):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.folder)}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:16]


def _sources(folder: Path) -> list[Path]:
    own = (path for path in folder.rglob("*.go") if not path.name.endswith("_test.go"))
    return [folder / "go.mod", folder / "go.sum", *sorted(own)]


def _kubernetes(name: str, minutes: float, minimum: Version, version_args: tuple[str, ...] = ("--version",)) -> Binary:
    # Unstamped, Kubernetes calls itself v0.0.0-master, which other programs cannot parse.
    package = "k8s.io/component-base/version"
    return Binary(
        name=name,
        folder=TOOLS / "kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        stamps=(
            f"{package}.gitVersion=v1.36.3",
            f"{package}.gitMajor=1",
            f"{package}.gitMinor=36",
            f"{package}.gitTreeState=clean",
        ),
        minutes=minutes,
        minimum=minimum,
        version_args=version_args,
    )


def _istio(name: str, package: str, minutes: float, version_args: tuple[str, ...]) -> Binary:
    variables = "istio.io/istio/pkg/version"
    return Binary(
        name=name,
        folder=TOOLS / "istio",
        package=f"istio.io/istio/{package}",
        # The form in which Istio's own builds between releases call themselves.
        stamps=(
            f"{variables}.buildVersion=1.31-alpha.eed52ebb66ad",
            f"{variables}.buildGitRevision=eed52ebb66ad",
            f"{variables}.buildStatus=Clean",
        ),
        minutes=minutes,
        minimum=(1, 30, 0),
        version_args=version_args,
        version_pattern=r'[vV]ersion:\s*"?(\d+)\.(\d+)(?:\.(\d+))?',
    )


CATALOG: dict[str, Binary] = {
    binary.name: binary
    for binary in (
        Binary(name="meshkit", folder=TOOLS / "meshkit", minutes=0.5),
        Binary(name="etcd", folder=TOOLS / "etcd", minutes=0.5, minimum=(3, 5, 0)),
        _kubernetes("kube-apiserver", 3, minimum=(1, 32, 0)),
        _kubernetes("kube-controller-manager", 1, minimum=(1, 32, 0)),
        _kubernetes("kubectl", 0.5, minimum=(1, 30, 0), version_args=("version", "--client")),
        _istio("pilot-discovery", "pilot/cmd/pilot-discovery", 4, version_args=("version",)),
        _istio("istioctl", "istioctl/cmd/istioctl", 1, version_args=("version", "--remote=false")),
        Binary(
            name="prometheus",
            folder=TOOLS / "prometheus",
            package="github.com/prometheus/prometheus/cmd/prometheus",
            tags="remove_all_sd",  # static targets are all the mesh uses
            stamps=("github.com/prometheus/common/version.Version=3.15.0",),
            minutes=1.5,
            minimum=(3, 0, 0),
        ),
        Binary(
            name="helm",
            folder=TOOLS / "helm",
            package="helm.sh/helm/v3/cmd/helm",
            stamps=("helm.sh/helm/v3/internal/version.version=v3.21.4",),
            minutes=1,
            minimum=(3, 0, 0),
            version_args=("version", "--short"),
        ),
    )
}


def required_version(go_mod: Path, module: str) -> str:
    """The version of a module as go.mod requires it, such as "v1.36.3"; LookupError where it does not."""
    match = re.search(rf"^(?:require |\t){re.escape(module)} (v\S+)", go_mod.read_text(), re.MULTILINE)
    if match is None:
        raise LookupError(f"{go_mod} does not require {module}")
    return match[1]


def go_line(go_mod: Path) -> Version:
    """The least Go version that a module can be built with, of its `go` line."""
    match = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?", go_mod.read_text(), re.MULTILINE)
    if match is None:
        raise LookupError(f"{go_mod} has no go line")
    return version_of(match)


def version_of(match: re.Match[str]) -> Version:
    """Groups 1 to 3 of a match as a version; a missing patch number is 0."""
    return int(match[1]), int(match[2]), int(match[3] or 0)


@functools.cache
def go_architecture() -> str:
    """GOARCH of this machine; the machine's own name where Go has another."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
