"""One pod's life: address, containers, status, orderly end."""

import asyncio
import base64
import contextlib
import json
import shutil
from pathlib import Path

from localmesh import podspec
from localmesh.container import Container, RestartPolicy
from localmesh.kube import MERGE_PATCH, ApiError, Object
from localmesh.node import NODE_NAME, Node
from localmesh.podenv import Reference, environment, references
from localmesh.podproxy import PodProxy
from localmesh.podstatus import PodStatus
from localmesh.process import Process
from localmesh.prometheus import Target, replace_file

RETRY_SECONDS = 2.0
DRAIN_SECONDS = 4.0
"""How long a pod that is being deleted goes on serving, so that no client still sends to it when it stops."""


class Pod:
    """Runs one pod until it is deleted."""

    def __init__(self, node: Node, manifest: Object) -> None:
        self.node = node
        self.manifest = manifest
        meta = manifest["metadata"]
        self.namespace: str = meta["namespace"]
        self.name: str = meta["name"]
        self.uid: str = meta["uid"]
        self.containers: list[Container] = []
        self.ip = ""
        self._proxy: PodProxy | None = None
        self._status = PodStatus()
        self._failure: podspec.UnrunnableContainerError | None = None
        self._dirty = asyncio.Event()
        self._deleted = asyncio.Event()
        self._gone = asyncio.Event()

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def ready(self) -> bool:
        started = bool(self.containers) and all(container.ready for container in self.containers)
        return started and not self._deleted.is_set()

    @property
    def relay(self) -> Process | None:
        """The relay between the pod's Envoy and istiod, where it has one."""
        return self._proxy.relay if self._proxy else None

    def update(self, manifest: Object) -> None:
        """Take note of a newer version of the pod."""
        self.manifest = manifest
        if manifest["metadata"].get("deletionTimestamp"):
            self._deleted.set()

    def gone(self) -> None:
        """The pod was removed from the API server, in order or by force."""
        self._deleted.set()
        self._gone.set()

    async def run(self) -> None:
        """The whole life of the pod."""
        tasks: list[asyncio.Task[None]] = []
        try:
            self.ip = podspec.annotation(self.manifest, podspec.ADDRESS_ANNOTATION) or self.node.addresses.take()
            await self._write_status()
            await self._prepare_until_possible()
            tasks = [asyncio.create_task(container.run(self.node.http)) for container in self.containers]
            tasks.append(asyncio.create_task(self._keep_status()))
            self._publish()
            await self._deleted.wait()
            await self._drain()
        finally:
            for task in tasks:
                task.cancel()
            await self._stop_processes()
            self._retract()
        if not self._gone.is_set():
            await self.node.kube.delete(self.path, uid=self.uid, now=True)

    async def _prepare_until_possible(self) -> None:
        """Containers that cannot be made yet (a missing ConfigMap, say) are tried again until the pod is deleted."""
        while not self._deleted.is_set():
            try:
                self.containers = await self._prepare()
            except podspec.UnrunnableContainerError as error:
                if str(error) != str(self._failure):
                    self._failure = error
                    await self._write_status()
                await self._pause(RETRY_SECONDS)
            else:
                self._failure = None
                return

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._deleted.wait(), seconds)

    async def _prepare(self) -> list[Container]:
        if self.manifest["spec"].get("initContainers"):
            raise podspec.UnrunnableContainerError("init containers are not supported")
        home = self.node.folder.sub("pods", self.namespace, self.name)
        return [await self._container(spec, home) for spec in podspec.containers(self.manifest)]

    async def _container(self, spec: Object, home: Path) -> Container:
        name = spec["name"]
        env = environment(self.manifest, spec, self.ip, await self._referenced(spec))
        if name == podspec.PROXY_CONTAINER:
            self._proxy = self._proxy or PodProxy(self.node, self.manifest, self.ip, home)
            argv, proxy_env = await self._proxy.prepare()
            env |= proxy_env
        else:
            argv = podspec.command(self.manifest, spec, self.ip, env)
        log = self.node.folder.logs / "pods" / f"{self.namespace}_{self.name}_{name}.log"
        part = f"pod/{self.namespace}/{self.name}/{name}"
        process = Process(part, argv, log, env={"PATH": self.node.path()} | env, cwd=home)
        policy: RestartPolicy = self.manifest["spec"].get("restartPolicy", "Always")
        probe = podspec.readiness_probe(self.manifest, spec, self.ip)
        return Container(name, spec.get("image", ""), process, probe=probe, policy=policy, changed=self._changed)

    async def _referenced(self, spec: Object) -> dict[Reference, dict[str, str]]:
        found: dict[Reference, dict[str, str]] = {}
        for plural, name in references(spec):
            item = await self.node.kube.find(f"/api/v1/namespaces/{self.namespace}/{plural}/{name}")
            if item is not None:
                values = item.get("data") or {}
                secret = plural == "secrets"
                found[plural, name] = {k: base64.b64decode(v).decode() if secret else v for k, v in values.items()}
        return found

    def _publish(self) -> None:
        if self._proxy:
            self.node.targets.add(Target(self.namespace, self.name, self.ip, NODE_NAME))

    def _retract(self) -> None:
        self.node.targets.remove(self.namespace, self.name)
        self._note_istiod(ready=False)
        (self.node.folder.kubelet_state / self.namespace / f"{self.name}.json").unlink(missing_ok=True)
        shutil.rmtree(self.node.folder.path / "pods" / self.namespace / self.name, ignore_errors=True)
        self.node.addresses.free(self.ip)

    def _note_istiod(self, ready: bool) -> None:
        if self.manifest["metadata"].get("labels", {}).get("app") == "istiod":
            self.node.istiods.set(self.name, self.ip, ready)

    async def _drain(self) -> None:
        """Go on serving until clients know that the endpoint is leaving, unless the deletion is forced."""
        self._dirty.set()
        grace = self.manifest["metadata"].get("deletionGracePeriodSeconds", 30)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), min(DRAIN_SECONDS, grace))

    async def _stop_processes(self) -> None:
        """Workloads first: the Envoy carries their last answers."""
        grace = self.manifest["metadata"].get("deletionGracePeriodSeconds", 0)
        proxies = [c.process for c in self.containers if c.name == podspec.PROXY_CONTAINER]
        others = [c.process for c in self.containers if c.name != podspec.PROXY_CONTAINER]
        await asyncio.gather(*(process.stop(grace) for process in others))
        await asyncio.gather(*(process.stop(1) for process in proxies))
        if self.relay:
            await self.relay.stop(1)

    def _changed(self) -> None:
        self._dirty.set()
        self._write_streaming_state()

    async def _keep_status(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._note_istiod(self.ready)
            await self._write_status()

    async def _write_status(self) -> None:
        status = self._status.build(self.manifest, self.ip, self.containers, self.ready, self._failure)
        try:
            await self.node.kube.request("PATCH", self.path + "/status", {"status": status}, content_type=MERGE_PATCH)
        except ApiError as error:
            if error.status != 404:
                raise
            self.gone()

    def _write_streaming_state(self) -> None:
        """What the streaming server needs for logs, exec and port-forward of this pod."""
        folder = self.node.folder.sub("kubelet", self.namespace)
        containers = {
            c.name: {"pid": c.process.pid or 0, "log": str(c.process.log), "env": c.process.env, "cwd": str(c.process.cwd)}
            for c in self.containers
        }
        state = {"uid": self.uid, "ip": self.ip, "containers": containers}
        replace_file(folder / f"{self.name}.json", json.dumps(state))
