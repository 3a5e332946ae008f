"""Where programs are looked for. Those found are small scripts that print a version."""

import platform
from collections.abc import Callable
from pathlib import Path

import pytest
from localmesh import binaries
from localmesh.binaries_catalog import CATALOG, Binary
from localmesh.errors import LocalMeshError, UnsupportedMachineError

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Puts a program that prints `prints` into a folder below tmp_path."""

    def put(folder: str, name: str, prints: str = "", code: int = 0) -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho '{prints}'\nexit {code}\n")
        path.chmod(0o755)
        return path

    return put


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The four places, all empty, and no Go that would build anything."""
    for folder in ("chosen", "assets", "path", "cache"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("LOCALMESH_BIN", str(tmp_path / "chosen"))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def cached(tmp_path: Path) -> Callable[[str], Path]:
    def put(name: str) -> Path:
        path = tmp_path / "cache" / "canaryrollout" / "bin" / CATALOG[name].digest() / name
        path.parent.mkdir(parents=True)
        path.touch()
        return path

    return put


def test_places_are_tried_in_order(install: Install, cached: Callable[[str], Path]) -> None:
    def found() -> Path:
        return binaries.ensure(["etcd"])["etcd"]

    expected = cached("etcd")
    assert found() == expected
    for place in ("path", "assets", "chosen"):
        expected = install(place, "etcd", "etcd Version: 3.6.1")
        assert found() == expected


@pytest.mark.parametrize(
    ("name", "prints"),
    [
        ("etcd", "etcd Version: 3.6.16\nGit SHA: abc"),
        ("kube-apiserver", "Kubernetes v1.36.3"),
        ("kubectl", "Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0"),
        ("pilot-discovery", 'client version: version.BuildInfo{Version:"1.31.1", GolangVersion:"go1.26.8"}'),
        ("istioctl", "client version: 1.31-alpha.eed52ebb66ad"),
        ("prometheus", "prometheus, version 3.15.0 (branch: HEAD, revision: 1)"),
        ("helm", "v3.21.4+g1234"),
        ("helm", "v4.0.1"),
    ],
)
def test_fitting_version_on_path_is_taken(name: str, prints: str, install: Install) -> None:
    path = install("path", name, prints)
    assert binaries.ensure([name]) == {name: path}


@pytest.mark.parametrize(
    ("name", "prints"),
    [
        ("etcd", "etcd Version: 3.4.9"),
        ("kube-apiserver", "Kubernetes v0.0.0-master"),
        ("kubectl", "Client Version: v1.25.0"),
        ("pilot-discovery", 'client version: version.BuildInfo{Version:"unknown", GolangVersion:"go1.40.8"}'),
        ("pilot-discovery", 'client version: version.BuildInfo{Version:"1.20.0", GolangVersion:"go1.40.8"}'),
        ("prometheus", "prometheus, version 2.53.0 (branch: HEAD)"),
        ("prometheus", "no version at all"),
        ("meshkit", "99.0.0"),
    ],
)
def test_other_version_on_path_is_passed_over(name: str, prints: str, install: Install, cached: Callable[[str], Path]) -> None:
    install("path", name, prints)
    expected = cached(name)
    assert binaries.ensure([name]) == {name: expected}


def test_program_that_fails_is_passed_over(install: Install, cached: Callable[[str], Path]) -> None:
    install("assets", "etcd", "etcd Version: 3.6.1", code=1)
    fine = install("path", "etcd", "etcd Version: 3.6.1")
    assert binaries.ensure(["etcd"]) == {"etcd": fine}


def test_chosen_folder_is_taken_as_it_is(install: Install) -> None:
    chosen = {name: install("chosen", name, "whatever") for name in ("prometheus", "meshkit", "envoy")}
    assert binaries.ensure(chosen) == chosen


def test_envoy_is_the_one_of_the_python_package() -> None:
    path = binaries.ensure(["envoy"])["envoy"]
    assert path.name == "envoy"
    assert path.stat().st_size > 10_000_000


def test_missing_envoy_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(LocalMeshError, match="development dependencies"):
        binaries.ensure(["envoy"])


def test_unknown_name_is_explained() -> None:
    with pytest.raises(LocalMeshError, match=r"no such program: nginx; there are .*etcd.*envoy"):
        binaries.ensure(["etcd", "nginx"])


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "riscv64")])
def test_other_machine_is_pointed_to_kind(system: str, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr("localmesh.binaries.go_architecture", lambda: machine)
    with pytest.raises(UnsupportedMachineError, match=rf"{system} on {machine}.*kind"):
        binaries.ensure(["etcd"])


def test_crds_come_from_the_cache_without_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localmesh.binaries.required_version", lambda _go_mod, module: f"v1-of-{module}")
    target = tmp_path / "cache/canaryrollout/istio-api/v1-of-istio.io/api/customresourcedefinitions.gen.yaml"
    target.parent.mkdir(parents=True)
    target.write_text("kind: CustomResourceDefinition")
    assert binaries.istio_crds() == target


def test_binaries_are_unique_in_name_and_place() -> None:
    assert len({(binary.folder, binary.package) for binary in CATALOG.values()}) == len(CATALOG)
    assert all(isinstance(binary, Binary) and binary.name == name for name, binary in CATALOG.items())
