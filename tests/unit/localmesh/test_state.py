"""The folder of a mesh."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from localmesh import state
from localmesh.errors import LocalMeshError
from localmesh.netns import namespace_id
from localmesh.state import ENV, Folder


def recorded(folder: Folder, pid: int) -> None:
    folder.prepare()
    (folder.path / "run" / "state.json").write_text(json.dumps({"pid": pid, "namespace": namespace_id()}))


def test_a_mesh_is_running_only_while_its_own_process_lives(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "m")
    assert folder.running() is None
    process = subprocess.Popen(["sleep", "60"], env=os.environ | {ENV: str(folder.path)})
    recorded(folder, process.pid)
    assert folder.running() is not None
    folder.kill_remains()
    process.wait()
    assert folder.running() is None


def test_a_process_that_got_a_dead_meshs_number_is_left_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "m")
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        recorded(folder, stranger.pid)
        assert folder.running() is None
        folder.kill_remains()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_new_mesh_finds_an_empty_folder(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "m")
    folder.prepare()
    (folder.logs / "old.log").write_text("x")
    folder.prepare()
    assert list(folder.logs.iterdir()) == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_a_name_that_is_no_folder_name_is_refused(name: str) -> None:
    with pytest.raises(LocalMeshError):
        state.folder(name)


def test_outside_a_mesh_the_way_in_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV, raising=False)
    with pytest.raises(LocalMeshError, match="localmesh run"):
        state.attached_folder()


def test_only_the_last_few_runs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for number in range(9):
        path = state.folder(f"run-{number}").path
        path.mkdir(parents=True)
        os.utime(path, (number, number))
    state.folder("default").path.mkdir()
    state.forget_old_runs()
    assert sorted(path.name for path in state.meshes_dir().iterdir()) == ["default", *(f"run-{n}" for n in range(4, 9))]
