"""The process kubelet: schedules pods to the only node and runs them as processes."""

import asyncio
import contextlib
import logging

import aiohttp

from localmesh.kube import MERGE_PATCH, ApiError, Object
from localmesh.node import NODE_NAME, Node, node_object, node_status
from localmesh.pod import Pod

log = logging.getLogger(__name__)

PODS = "/api/v1/pods"


class Kubelet:
    """Watches pods and keeps one task for each."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.pods: dict[str, Pod] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def register(self) -> None:
        """Create the node and report it ready."""
        await self.node.kube.apply(node_object())
        await self.node.kube.request("PATCH", f"/api/v1/nodes/{NODE_NAME}/status", {"status": node_status()}, content_type=MERGE_PATCH)

    async def run(self) -> None:
        """Follow the API server's pods for ever."""
        async for event in self.node.kube.watch(PODS):
            if event.kind == "LISTED":
                present = {pod["metadata"]["uid"] for pod in event.objects}
                for uid in set(self.pods) - present:
                    self.pods[uid].gone()
                for manifest in event.objects:
                    self._observe(manifest)
            elif event.kind == "DELETED":
                pod = self.pods.get(event.object["metadata"]["uid"])
                if pod:
                    pod.gone()
            elif event.kind in ("ADDED", "MODIFIED"):
                self._observe(event.object)

    def _observe(self, manifest: Object) -> None:
        uid = manifest["metadata"]["uid"]
        if uid in self.pods:
            self.pods[uid].update(manifest)
            return
        if manifest.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return
        pod = Pod(self.node, manifest)
        pod.update(manifest)
        self.pods[uid] = pod
        task = asyncio.create_task(self._run(pod), name=f"pod {pod.namespace}/{pod.name}")
        self._tasks[uid] = task
        task.add_done_callback(lambda _: self._forget(uid))

    def _forget(self, uid: str) -> None:
        self.pods.pop(uid, None)
        self._tasks.pop(uid, None)

    async def _run(self, pod: Pod) -> None:
        try:
            if not pod.manifest["spec"].get("nodeName"):
                await self._bind(pod)
            await pod.run()
        except (ApiError, aiohttp.ClientError, OSError):
            log.exception("pod %s/%s", pod.namespace, pod.name)

    async def _bind(self, pod: Pod) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": NODE_NAME},
        }
        try:
            await self.node.kube.request("POST", f"{pod.path}/binding", binding)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def find(self, namespace: str, name: str) -> Pod | None:
        """The running pod of that name (the newest, while an old one of the same name ends)."""
        found = [pod for pod in self.pods.values() if (pod.namespace, pod.name) == (namespace, name)]
        return found[-1] if found else None

    async def stop(self) -> None:
        """Kill all pods' processes without telling the API server."""
        for task in self._tasks.values():
            task.cancel()
        processes = [c.process for pod in self.pods.values() for c in pod.containers]
        processes += [pod.relay for pod in self.pods.values() if pod.relay]
        await asyncio.gather(*(process.stop(0) for process in processes))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
