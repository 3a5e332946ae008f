"""The process that owns a mesh: starts its parts, serves the control interface, ends everything."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp

from localmesh import controlplane, istiod, node, programs
from localmesh.addresses import PROMETHEUS_IP, PROMETHEUS_PORT, GatewayPorts
from localmesh.control import serve_control
from localmesh.credentials import APISERVER_URL, Credentials
from localmesh.errors import LocalMeshError
from localmesh.kube import ApiError, Kube, Object, PatientKube
from localmesh.kubelet import Kubelet
from localmesh.netns import kill_all, namespace_id, processes_in
from localmesh.parts import Parts
from localmesh.process import Process
from localmesh.prometheus import Targets, prometheus
from localmesh.state import Folder

log = logging.getLogger(__name__)

READY_TIMEOUT = 60.0


class Daemon:
    """One mesh, from its first process to its last."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.binaries = programs.installed(folder)
        self.parts = Parts(self._part_failed)
        self.gateway_ports = GatewayPorts()
        self.ready = False
        self.failure: str | None = None
        self._end = asyncio.Event()
        self._prometheus_port = PROMETHEUS_PORT
        self._tasks: list[asyncio.Task[None]] = []
        self._clients = AsyncExitStack()

    async def run(self) -> None:
        """Bring the mesh up and keep it until SIGTERM, `shut_down`, or the failure of a part."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.shut_down)
        self.folder.write_running()
        async with serve_control(self, self.folder.control_socket):
            starting = asyncio.create_task(self._start())
            starting.add_done_callback(self._started)
            try:
                await self._end.wait()
            finally:
                starting.cancel()
                await self._stop()
        if self.failure:
            raise LocalMeshError(self.failure)

    def _started(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.ready = True
            return
        log.error("start failed", exc_info=error)
        self.failure = self.failure or str(error)
        self.shut_down()

    def shut_down(self) -> None:
        self._end.set()

    def _part_failed(self, part: Process, code: int) -> None:
        self.failure = f"{part.name} ended unexpectedly (exit code {code}); its log {part.log} ends with:\n{part.tail()}"
        log.error("%s", self.failure)
        self.shut_down()

    async def _start(self) -> None:
        self.credentials = Credentials.create(self.folder.sub("credentials"))
        self.targets = Targets(self.folder.sub("prometheus") / "targets.json")
        self.parts.add(controlplane.etcd(self.binaries, self.folder))
        server = self.parts.add(controlplane.apiserver(self.binaries, self.folder, self.credentials))
        await self.new_prometheus("prometheus", "5s")
        tokens = self.credentials.tokens
        self.kube = await controlplane.wait_for_apiserver(server, self.credentials, tokens["localmesh"])
        self._clients.push_async_callback(self.kube.close)
        self.credentials.write_kubeconfig(self.folder.kubeconfig, tokens["admin"], "admin")
        self.parts.add(controlplane.controller_manager(self.binaries, self.folder, self.credentials))
        self.parts.add(node.streaming_server(self.binaries, self.folder, self.credentials))
        await self._start_kubelet()
        await self._start_istio()

    async def _start_kubelet(self) -> None:
        patient = PatientKube(APISERVER_URL, self.credentials.tokens["localmesh"], self.credentials.ca)
        self._clients.push_async_callback(patient.close)
        probes = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        self._clients.push_async_callback(probes.close)
        shared = node.Node(
            kube=patient,
            http=probes,
            binaries=self.binaries,
            folder=self.folder,
            targets=self.targets,
            istiods=node.Istiods(self.folder.sub("prometheus").parent / "istiods.json"),
        )
        self.kubelet = self.parts.kubelet = Kubelet(shared)
        await self.kubelet.register()
        self._tasks.append(asyncio.create_task(self.kubelet.run(), name="kubelet"))

    async def _start_istio(self) -> None:
        self.istiods = istiod.Istiods(self.folder, self.credentials)
        await self.kube.apply(istiod.namespace())
        await controlplane.install_crds(self.kube, programs.crds(self.folder))
        for manifest in [*istiod.root_objects(), *istiod.injector(), default_namespace()]:
            await self.kube.apply(manifest)
        await self.new_istiod(0)
        await wait_until_injecting(self.kube)
        await self._wait_for_istiod()

    async def new_istiod(self, replica: int) -> None:
        """Create the pod of an istiod replica (once its namespace has a ServiceAccount)."""
        await until(lambda: self._try_create(self.istiods.pod(replica)), f"istiod-{replica} to be created")

    async def _try_create(self, pod: Object) -> bool:
        try:
            await self.kube.apply(pod)
        except ApiError as error:
            if error.status != 403:
                raise
            return False
        return True

    async def _wait_for_istiod(self) -> None:
        async def is_ready() -> bool:
            pod = self.kubelet.find(istiod.ROOT_NAMESPACE, "istiod-0")
            return pod is not None and pod.ready

        await until(is_ready, "istiod to be ready")

    async def new_prometheus(self, name: str, interval: str) -> str:
        """Start one more Prometheus; returns its URL."""
        port = self._prometheus_port
        self._prometheus_port += 1
        part = prometheus(self.binaries, self.folder, self.targets.path, name=name, port=port, interval=interval)
        self.parts.add(part)
        return f"http://{PROMETHEUS_IP}:{port}"

    async def _stop(self) -> None:
        self.ready = False
        for task in self._tasks:
            task.cancel()
        await self.parts.stop()
        await self._clients.aclose()


def default_namespace() -> Object:
    """The namespace `default`, with sidecars, for people to play in."""
    labels = {"istio-injection": "enabled"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": labels}}


async def wait_until_injecting(kube: Kube) -> None:
    """The API server takes a moment until a new admission policy is in force."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe"},
        "spec": {"containers": [{"name": "probe", "image": "probe"}]},
    }

    async def injects() -> bool:
        try:
            made = await kube.request("POST", "/api/v1/namespaces/default/pods", pod, params={"dryRun": "All"})
        except ApiError as error:
            if error.status != 403:
                raise
            return False
        return len(made["spec"]["containers"]) == 2

    await until(injects, "sidecar injection to be in force")


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll until a condition holds; LocalMeshError after READY_TIMEOUT."""
    deadline = asyncio.get_running_loop().time() + READY_TIMEOUT
    while not await condition():
        if asyncio.get_running_loop().time() > deadline:
            raise LocalMeshError(f"gave up waiting for {what}")
        await asyncio.sleep(0.1)


def main(folder: Folder) -> None:
    """Entry point of the daemon process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    launcher = os.getppid()
    try:
        asyncio.run(Daemon(folder).run())
    finally:
        if os.getppid() != launcher:
            # Nobody else is left to end what the launcher's command has started.
            kill_all(lambda: processes_in(namespace_id()))
