"""The programs of a mesh, linked into its folder before its network namespace cuts it off from the world."""

from pathlib import Path

from localmesh import binaries
from localmesh.state import Folder

NAMES = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "pilot-discovery",
    "prometheus",
    "envoy",
    "meshkit",
    "kubectl",
    "istioctl",
    "helm",
]


def install(folder: Folder) -> None:
    """Link all programs, built first where they are missing, and Istio's CustomResourceDefinitions.

    Containers and the mesh's shell find the links first on their PATH.
    """
    found = binaries.ensure(NAMES)
    shims = folder.sub("shims")
    for name, path in found.items():
        (shims / name).symlink_to(path)
    # The mesh's own helper acts as Istio's agent under that name.
    (shims / "pilot-agent").symlink_to(found["meshkit"])
    crds(folder).symlink_to(binaries.istio_crds())


def installed(folder: Folder) -> dict[str, Path]:
    """Where each program is."""
    return {name: (folder.shims / name).resolve() for name in NAMES}


def crds(folder: Folder) -> Path:
    """File with Istio's CustomResourceDefinitions."""
    return folder.path / "istio-crds.yaml"
