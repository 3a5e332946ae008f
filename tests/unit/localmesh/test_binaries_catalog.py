import dataclasses
import re
from pathlib import Path

import pytest
from localmesh.binaries_catalog import CATALOG, Binary, go_line, required_version


def stamps(name: str) -> dict[str, str]:
    return dict(stamp.split("=", 1) for stamp in CATALOG[name].stamps)


def required(name: str, module: str) -> str:
    return required_version(CATALOG[name].folder / "go.mod", module)


@pytest.mark.parametrize("name", ["kube-apiserver", "kube-controller-manager", "kubectl"])
def test_kubernetes_is_stamped_with_the_version_that_is_built(name: str) -> None:
    version = required(name, "k8s.io/kubernetes")
    major, minor = version.removeprefix("v").split(".")[:2]
    package = "k8s.io/component-base/version"
    assert stamps(name)[f"{package}.gitVersion"] == version
    assert (stamps(name)[f"{package}.gitMajor"], stamps(name)[f"{package}.gitMinor"]) == (major, minor)


@pytest.mark.parametrize("name", ["pilot-discovery", "istioctl"])
def test_istio_is_stamped_with_the_commit_that_is_built(name: str) -> None:
    commit = required(name, "istio.io/istio").rsplit("-", 1)[1]
    release = ".".join(required(name, "istio.io/api").removeprefix("v").split(".")[:2])
    assert stamps(name)["istio.io/istio/pkg/version.buildVersion"] == f"{release}-alpha.{commit}"


def test_prometheus_is_stamped_with_the_release_of_its_module_version() -> None:
    # The Go module of Prometheus 3.15.0 is v0.315.0.
    _, number, patch = required("prometheus", "github.com/prometheus/prometheus").split(".")
    release = f"{int(number) // 100}.{int(number) % 100}.{patch}"
    assert stamps("prometheus")["github.com/prometheus/common/version.Version"] == release


def test_helm_is_stamped_with_the_version_that_is_built() -> None:
    assert stamps("helm")["helm.sh/helm/v3/internal/version.version"] == required("helm", "helm.sh/helm/v3")


@pytest.mark.parametrize("binary", CATALOG.values(), ids=lambda binary: binary.name)
def test_every_module_is_pinned_completely(binary: Binary) -> None:
    assert (binary.folder / "go.sum").stat().st_size > 0
    assert go_line(binary.folder / "go.mod") >= (1, 24, 0)
    assert not re.search(r"=> \.", (binary.folder / "go.mod").read_text()), "a replacement by a local folder"


def test_digest_changes_with_everything_that_changes_the_program(tmp_path: Path) -> None:
    for name in ("go.mod", "go.sum", "main.go", "internal/x/x.go"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    binary = Binary(name="tiny", folder=tmp_path, minutes=1)
    seen = {binary.digest()}
    for other in (
        dataclasses.replace(binary, package="./cmd"),
        dataclasses.replace(binary, tags="small"),
        dataclasses.replace(binary, stamps=("main.version=1",)),
    ):
        seen.add(other.digest())
    for name in ("go.mod", "go.sum", "main.go", "internal/x/x.go"):
        (tmp_path / name).write_text("2")
        seen.add(binary.digest())
    (tmp_path / "internal/x/new.go").write_text("")
    seen.add(binary.digest())
    assert len(seen) == 9


def test_digest_does_not_depend_on_tests_or_the_checkout(tmp_path: Path) -> None:
    digests = set()
    for checkout in ("a", "b"):
        folder = tmp_path / checkout
        folder.mkdir()
        for name in ("go.mod", "go.sum", "main.go", f"only_in_{checkout}_test.go"):
            (folder / name).write_text("same")
        digests.add(Binary(name="tiny", folder=folder, minutes=1).digest())
    assert len(digests) == 1
