"""Everything that can be stopped, frozen, killed and started by name.

Names: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kubelet`, `prometheus`, `prometheus-NAME`, and for pods
`pod/NAMESPACE/POD/CONTAINER` (an Envoy is the container `istio-proxy`) and `pod/NAMESPACE/POD/xds-relay`.
"""

import signal
from collections.abc import Callable

from localmesh.container import Container
from localmesh.errors import LocalMeshError
from localmesh.kube import Object
from localmesh.kubelet import Kubelet
from localmesh.process import Process

OPERATIONS = ("start", "stop", "kill", "pause", "resume")


class Parts:
    """The mesh's own processes and, through the kubelet, those of its pods."""

    def __init__(self, failed: Callable[[Process, int], None]) -> None:
        self.kubelet: Kubelet | None = None
        self._own: dict[str, Process] = {}
        self._failed = failed

    def add(self, process: Process) -> Process:
        """Start a process of the mesh itself; `failed` is called when it ends unasked."""
        if process.name in self._own:
            raise LocalMeshError(f"{process.name} exists already")
        process.on_exit = self._failed
        process.start()
        self._own[process.name] = process
        return process

    async def operate(self, name: str, operation: str) -> None:
        """Do something to a part. LocalMeshError when there is no such part or operation.

        stop ends it until start; kill ends a pod's container so that the kubelet starts it again, and any other
        part until start; pause freezes it (SIGSTOP), resume continues it.
        """
        process, container = self._find(name)
        if operation == "pause":
            process.signal(signal.SIGSTOP)
        elif operation == "resume":
            process.signal(signal.SIGCONT)
        elif operation == "kill" and container:
            process.signal(signal.SIGKILL)
        elif operation == "kill":
            await process.stop(grace=0)
        elif operation == "stop":
            await (container.hold() if container else process.stop())
        elif operation == "start" and container:
            container.release()
        elif operation == "start":
            process.start()
        else:
            raise LocalMeshError(f"unknown operation {operation!r}, use one of {', '.join(OPERATIONS)}")

    def _find(self, name: str) -> tuple[Process, Container | None]:
        if name in self._own:
            return self._own[name], None
        kind, *rest = name.split("/")
        pod = self.kubelet.find(rest[0], rest[1]) if self.kubelet and kind == "pod" and len(rest) == 3 else None
        if pod and pod.relay and rest[2] == "xds-relay":
            return pod.relay, None
        for container in pod.containers if pod else []:
            if container.name == rest[2]:
                return container.process, container
        raise LocalMeshError(f"there is no part named {name!r}")

    def describe(self) -> list[Object]:
        """All parts with pid (None: not running) and log file."""
        processes = list(self._own.values())
        for pod in self.kubelet.pods.values() if self.kubelet else []:
            processes += [container.process for container in pod.containers]
            processes += [pod.relay] if pod.relay else []
        return [{"name": p.name, "pid": p.pid, "log": str(p.log)} for p in processes]

    async def stop(self) -> None:
        """End everything, pods first, the API server's storage last."""
        if self.kubelet:
            await self.kubelet.stop()
        for process in reversed(self._own.values()):
            await process.stop(grace=0.5)
