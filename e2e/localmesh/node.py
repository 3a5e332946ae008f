"""What all pods of the mesh's only node share."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from localmesh.addresses import ISTIOD_XDS_PORT, KUBELET_PORT, NODE_IP, PodAddresses
from localmesh.credentials import Credentials
from localmesh.envoy import endpoints_file
from localmesh.kube import Kube, Object
from localmesh.process import Process
from localmesh.prometheus import Targets, replace_file
from localmesh.state import Folder

NODE_NAME = "local"


class Istiods:
    """Ready istiod pods, and the file in which Envoys find them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._addresses: dict[str, str] = {}
        self._write()

    def set(self, pod: str, ip: str, ready: bool) -> None:
        """Note an istiod pod's readiness. The last ready one stays listed, so that Envoys go on trying it."""
        address = f"{ip}:{ISTIOD_XDS_PORT}"
        if ready and self._addresses.get(pod) != address:
            self._addresses[pod] = address
        elif not ready and pod in self._addresses and len(self._addresses) > 1:
            del self._addresses[pod]
        else:
            return
        self._write()

    def address(self, pod: str | None) -> str | None:
        """Where one istiod pod, or any, listens for proxies."""
        if pod is not None:
            return self._addresses.get(pod)
        return next(iter(self._addresses.values()), None)

    def _write(self) -> None:
        write_endpoints(self.file, list(self._addresses.values()))


def write_endpoints(file: Path, addresses: list[str]) -> None:
    replace_file(file, json.dumps(endpoints_file(addresses)))


@dataclass
class Node:
    """The node: programs, folders, addresses and clients that pods need."""

    kube: Kube
    http: aiohttp.ClientSession
    binaries: Mapping[str, Path]
    folder: Folder
    targets: Targets
    istiods: Istiods
    addresses: PodAddresses = field(default_factory=PodAddresses)

    def path(self) -> str:
        """PATH of containers: the mesh's commands first."""
        return f"{self.folder.shims}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def node_object() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE_NAME, "labels": {"kubernetes.io/hostname": NODE_NAME, "kubernetes.io/os": "linux"}},
    }


def node_status() -> Object:
    """The node's status: its address and the port of the kubelet's streaming server."""
    capacity = {"cpu": "2", "memory": "8Gi", "pods": "1000"}
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "process kubelet"}
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [condition],
        "addresses": [
            {"type": "InternalIP", "address": NODE_IP},
            {"type": "Hostname", "address": NODE_NAME},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
        "nodeInfo": {
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
            "kernelVersion": "",
            "osImage": "processes of a local mesh",
            "containerRuntimeVersion": "process://1",
            "kubeletVersion": "v1.36.3",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }


def streaming_server(binaries: Mapping[str, Path], folder: Folder, credentials: Credentials) -> Process:
    """What `kubectl logs`, `exec` and `port-forward` reach behind the node's address."""
    argv: list[str | Path] = [
        binaries["meshkit"],
        "kubelet",
        "--listen",
        f"{NODE_IP}:{KUBELET_PORT}",
        "--tls-cert",
        credentials.ca,
        "--tls-key",
        credentials.tls_key,
        "--state",
        folder.sub("kubelet"),
    ]
    return Process("kubelet", argv, folder.logs / "kubelet.log")
