"""One pod's life: address, containers, status, orderly end."""

import asyncio
import contextlib
import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from localmesh import podspec
from localmesh.addresses import NODE_IP, XDS_RELAY_PORT
from localmesh.container import Container, RestartPolicy, timestamp
from localmesh.envoy import Identity, arguments, bootstrap
from localmesh.kube import MERGE_PATCH, ApiError, Object
from localmesh.node import NODE_NAME, Node, write_endpoints
from localmesh.process import Process
from localmesh.prometheus import Target, replace_file

log = logging.getLogger(__name__)

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
        self.relay: Process | None = None
        self.ip = ""
        self._dirty = asyncio.Event()
        self._deleted = asyncio.Event()
        self._gone = asyncio.Event()
        self._failure: str | None = None
        self._started_at = time.time()
        self._ready_since: tuple[bool, float] = (False, self._started_at)

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def ready(self) -> bool:
        started = bool(self.containers) and all(container.ready for container in self.containers)
        return started and not self._deleted.is_set()

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
            await self._prepare()
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

    async def _prepare(self) -> None:
        try:
            for spec in podspec.containers(self.manifest):
                self.containers.append(await self._container(spec))
        except podspec.UnrunnableContainerError as error:
            self.containers.clear()
            self._failure = str(error)
            self._dirty.set()

    async def _container(self, spec: Object) -> Container:
        name = spec["name"]
        env = podspec.environment(self.manifest, spec, self.ip, NODE_IP)
        home = self.node.folder.sub("pods", self.namespace, self.name)
        if name == podspec.PROXY_CONTAINER:
            identity = await self._identity()
            env |= identity.environment()
            argv: Sequence[str] = arguments(self.node.binaries["envoy"], self._write_bootstrap(identity, home))
        else:
            argv = podspec.command(self.manifest, spec, self.ip, env)
        log_file = self.node.folder.logs / "pods" / f"{self.namespace}_{self.name}_{name}.log"
        part = f"pod/{self.namespace}/{self.name}/{name}"
        process = Process(part, argv, log_file, env={"PATH": self.node.path()} | env, cwd=home)
        policy: RestartPolicy = self.manifest["spec"].get("restartPolicy", "Always")
        probe = podspec.readiness_probe(self.manifest, spec, self.ip)
        return Container(name, spec.get("image", ""), process, probe=probe, policy=policy, changed=self._changed)

    def _changed(self) -> None:
        self._dirty.set()
        self._write_streaming_state()

    async def _identity(self) -> Identity:
        meta, spec = self.manifest["metadata"], self.manifest["spec"]
        return Identity(
            namespace=self.namespace,
            pod=self.name,
            ip=self.ip,
            node=NODE_NAME,
            workload=podspec.workload_name(self.manifest),
            service_account=spec.get("serviceAccountName", "default"),
            labels=meta.get("labels", {}),
            service=await self._service(),
            router=podspec.is_gateway(self.manifest),
        )

    async def _service(self) -> str:
        """Host name of the first Service that selects this pod: the destination that inbound metrics name."""
        labels = self.manifest["metadata"].get("labels", {})
        services = await self.node.kube.get(f"/api/v1/namespaces/{self.namespace}/services")
        for service in services["items"]:
            selector = service["spec"].get("selector")
            if selector and selector.items() <= labels.items():
                return f"{service['metadata']['name']}.{self.namespace}.svc.cluster.local"
        return "unknown"

    def _write_bootstrap(self, identity: Identity, home: Path) -> Path:
        endpoints = self.node.istiods.file
        wanted = podspec.annotation(self.manifest, podspec.ISTIOD_ANNOTATION)
        relayed = podspec.annotation(self.manifest, podspec.XDS_RELAY_ANNOTATION) == "true"
        istiod = self.node.istiods.address(wanted)
        if (wanted or relayed) and istiod is None:
            raise podspec.UnrunnableContainerError(f"istiod {wanted or ''} is not ready")
        if relayed and istiod is not None:
            istiod = self._start_relay(istiod)
        if (wanted or relayed) and istiod is not None:
            endpoints = home / "istiod.json"
            write_endpoints(endpoints, [istiod])
        file = home / "envoy.json"
        file.write_text(json.dumps(bootstrap(identity, endpoints), indent=1))
        return file

    def _start_relay(self, istiod: str) -> str:
        address = f"{self.ip}:{XDS_RELAY_PORT}"
        argv = [str(self.node.binaries["meshkit"]), "relay", "--listen", address, "--to", istiod]
        log_file = self.node.folder.logs / "pods" / f"{self.namespace}_{self.name}_xds-relay.log"
        self.relay = Process(f"pod/{self.namespace}/{self.name}/xds-relay", argv, log_file)
        self.relay.start()
        return address

    def _publish(self) -> None:
        if any(container.name == podspec.PROXY_CONTAINER for container in self.containers):
            self.node.targets.add(Target(self.namespace, self.name, self.ip, NODE_NAME))

    def _retract(self) -> None:
        self.node.targets.remove(self.namespace, self.name)
        if self._is_istiod():
            self.node.istiods.set(self.name, self.ip, ready=False)
        (self.node.folder.kubelet_state / self.namespace / f"{self.name}.json").unlink(missing_ok=True)
        shutil.rmtree(self.node.folder.path / "pods" / self.namespace / self.name, ignore_errors=True)
        self.node.addresses.free(self.ip)

    def _is_istiod(self) -> bool:
        return bool(self.manifest["metadata"].get("labels", {}).get("app") == "istiod")

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

    async def _keep_status(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if self._is_istiod():
                self.node.istiods.set(self.name, self.ip, self.ready)
            await self._write_status()

    async def _write_status(self) -> None:
        try:
            await self.node.kube.request(
                "PATCH", self.path + "/status", {"status": self.status()}, content_type=MERGE_PATCH
            )
        except ApiError as error:
            if error.status != 404:
                raise
            self.gone()

    def status(self) -> Object:
        """The pod's status as a kubelet reports it."""
        if self.ready != self._ready_since[0]:
            self._ready_since = (self.ready, time.time())
        phase = self._phase()
        status: Object = {
            "phase": phase,
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "hostIP": NODE_IP,
            "hostIPs": [{"ip": NODE_IP}],
            "startTime": timestamp(self._started_at),
            "conditions": self._conditions(phase),
            "containerStatuses": [container.status() for container in self.containers],
        }
        if self._failure:
            waiting = {"waiting": {"reason": "ErrImagePull", "message": self._failure}}
            status["containerStatuses"] = [
                {"name": c["name"], "image": c.get("image", ""), "imageID": "", "ready": False, "restartCount": 0}
                | {"state": waiting}
                for c in podspec.containers(self.manifest)
            ]
        return status

    def _phase(self) -> str:
        if self.containers and all(container.finished for container in self.containers):
            ok = all(container.last and container.last.exit_code == 0 for container in self.containers)
            return "Succeeded" if ok else "Failed"
        return "Running" if any(c.process.running or c.restarts for c in self.containers) else "Pending"

    def _conditions(self, phase: str) -> list[Object]:
        start = timestamp(self._started_at)
        ready = {"status": "True" if self.ready else "False", "lastTransitionTime": timestamp(self._ready_since[1])}
        if not self.ready:
            ready["reason"] = "PodCompleted" if phase == "Succeeded" else "ContainersNotReady"
        done = {"status": "True", "lastTransitionTime": start}
        return [
            {"type": "PodScheduled", **done},
            {"type": "Initialized", **done},
            {"type": "ContainersReady", **ready},
            {"type": "Ready", **ready},
        ]

    def _write_streaming_state(self) -> None:
        """What the streaming server needs for logs, exec and port-forward of this pod."""
        folder = self.node.folder.sub("kubelet", self.namespace)
        containers = {
            c.name: {
                "pid": c.process.pid or 0,
                "log": str(c.process.log),
                "env": c.process.env,
                "cwd": str(c.process.cwd),
            }
            for c in self.containers
        }
        state = {"uid": self.uid, "ip": self.ip, "containers": containers}
        replace_file(folder / f"{self.name}.json", json.dumps(state))
