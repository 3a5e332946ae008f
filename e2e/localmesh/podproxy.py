"""The Envoy of a pod, and the relay that may stand between it and istiod."""

import json
from pathlib import Path

from localmesh import podspec
from localmesh.addresses import XDS_RELAY_PORT
from localmesh.envoy import Identity, arguments, bootstrap
from localmesh.kube import Object
from localmesh.node import NODE_NAME, Node, write_endpoints
from localmesh.process import Process


class PodProxy:
    """Prepares the Envoy of one pod."""

    def __init__(self, node: Node, manifest: Object, ip: str, home: Path) -> None:
        self.relay: Process | None = None
        self._node = node
        self._manifest = manifest
        self._ip = ip
        self._home = home
        self._namespace: str = manifest["metadata"]["namespace"]
        self._name: str = manifest["metadata"]["name"]

    async def prepare(self) -> tuple[list[str], dict[str, str]]:
        """Command line and environment of the Envoy; starts the relay when the pod wants one."""
        identity = await self._identity()
        file = self._home / "envoy.json"
        file.write_text(json.dumps(bootstrap(identity, self._istiod_endpoints()), indent=1))
        return arguments(self._node.binaries["envoy"], file), identity.environment()

    async def _identity(self) -> Identity:
        return Identity(
            namespace=self._namespace,
            pod=self._name,
            ip=self._ip,
            node=NODE_NAME,
            workload=podspec.workload_name(self._manifest),
            service_account=self._manifest["spec"].get("serviceAccountName", "default"),
            labels=self._manifest["metadata"].get("labels", {}),
            service=await self._service(),
            router=podspec.is_gateway(self._manifest),
        )

    async def _service(self) -> str:
        """Host name of the first Service that selects this pod: the destination that inbound metrics name."""
        labels = self._manifest["metadata"].get("labels", {})
        services = await self._node.kube.get(f"/api/v1/namespaces/{self._namespace}/services")
        for service in services["items"]:
            selector = service["spec"].get("selector")
            if selector and selector.items() <= labels.items():
                return f"{service['metadata']['name']}.{self._namespace}.svc.cluster.local"
        return "unknown"

    def _istiod_endpoints(self) -> Path:
        """The file that names istiod's addresses: all that are ready, or the one that the pod asks for."""
        wanted = podspec.annotation(self._manifest, podspec.ISTIOD_ANNOTATION)
        relayed = podspec.annotation(self._manifest, podspec.XDS_RELAY_ANNOTATION) == "true"
        if not wanted and not relayed:
            return self._node.istiods.file
        address = self._node.istiods.address(wanted)
        if address is None:
            raise podspec.UnrunnableContainerError(f"{wanted or 'istiod'} is not ready")
        own = self._home / "istiod.json"
        write_endpoints(own, [self._relay_to(address) if relayed else address])
        return own

    def _relay_to(self, istiod: str) -> str:
        address = f"{self._ip}:{XDS_RELAY_PORT}"
        argv = [self._node.binaries["meshkit"], "relay", "--listen", address, "--to", istiod]
        name = f"{self._namespace}_{self._name}_xds-relay.log"
        part = f"pod/{self._namespace}/{self._name}/xds-relay"
        self.relay = Process(part, list(map(str, argv)), self._node.folder.logs / "pods" / name)
        self.relay.start()
        return address
