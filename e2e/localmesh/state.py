"""The folder of a mesh, and how a running mesh is found again."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from localmesh.errors import LocalMeshError
from localmesh.netns import has_environment, kill_all, namespace_id, processes_in

ENV = "LOCALMESH"
"""Environment variable with the path of the mesh's folder, set for everything that runs inside a mesh."""

_KEPT_RUNS = 5


@dataclass(frozen=True)
class Running:
    """What `run/state.json` says about a live mesh."""

    pid: int
    namespace: int


@dataclass(frozen=True)
class Folder:
    """Where a mesh keeps its things."""

    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def control_socket(self) -> Path:
        return self.path / "run" / "control.sock"

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def shims(self) -> Path:
        """Folder of commands that containers find on their PATH."""
        return self.path / "shims"

    @property
    def kubelet_state(self) -> Path:
        return self.path / "kubelet"

    def sub(self, *parts: str) -> Path:
        """A folder below, made when it does not exist."""
        folder = self.path.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def prepare(self) -> None:
        """Empty the folder, logs of an earlier mesh included, for a new mesh."""
        if self.path.exists():
            shutil.rmtree(self.path)
        self.sub("run").chmod(0o700)
        self.sub("logs")

    def write_running(self) -> None:
        """Say that this process is the mesh's daemon."""
        text = json.dumps(asdict(Running(os.getpid(), namespace_id())))
        (self.path / "run" / "state.json").write_text(text)

    def running(self) -> Running | None:
        """The mesh's daemon if it is alive."""
        recorded = self.recorded()
        if recorded is None:
            return None
        return recorded if recorded.pid in self._processes_of(recorded) else None

    def _processes_of(self, mesh: Running) -> list[int]:
        """Process ids of a mesh. The kernel reuses namespace numbers soon, so they alone prove nothing."""
        return [pid for pid in processes_in(mesh.namespace) if has_environment(pid, ENV, str(self.path))]

    def kill_remains(self) -> None:
        """Kill whatever is left of the last mesh of this folder."""
        recorded = self.recorded()
        if recorded:
            kill_all(lambda: self._processes_of(recorded))

    def recorded(self) -> Running | None:
        """The last daemon, alive or not."""
        try:
            value: dict[str, Any] = json.loads((self.path / "run" / "state.json").read_text())
        except (OSError, ValueError):
            return None
        return Running(int(value["pid"]), int(value["namespace"]))


def meshes_dir() -> Path:
    """Folder that holds the meshes of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "canaryrollout" / "mesh"


def folder(name: str) -> Folder:
    if not name or "/" in name or name.startswith("."):
        raise LocalMeshError(f"{name!r} cannot be the name of a mesh")
    return Folder(meshes_dir() / name)


def attached_folder() -> Folder:
    """Folder of the mesh this process runs in; LocalMeshError when it runs in none."""
    path = os.environ.get(ENV)
    if not path:
        raise LocalMeshError(f"not inside a local mesh (${ENV} is not set): use `python -m localmesh run -- COMMAND`")
    return Folder(Path(path))


def forget_old_runs() -> None:
    """Remove the folders of all but the last few meshes that `run` made."""
    runs = [Folder(path) for path in meshes_dir().glob("run-*")]
    ended = [run for run in runs if run.running() is None]
    for run in sorted(ended, key=lambda run: run.path.stat().st_mtime)[:-_KEPT_RUNS]:
        shutil.rmtree(run.path, ignore_errors=True)
