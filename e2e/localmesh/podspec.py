"""What a pod's specification means to the process kubelet. No I/O here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from localmesh.addresses import ENVOY_ADMIN_PORT, WORKLOAD_PORT
from localmesh.kube import Object

ADDRESS_ANNOTATION = "localmesh/address"
"""Pod annotation: the address the pod must get."""

XDS_RELAY_ANNOTATION = "localmesh/xds-relay"
"""Pod annotation, "true": a TCP relay stands between the pod's Envoy and istiod."""

ISTIOD_ANNOTATION = "localmesh/istiod"
"""Pod annotation: name of the istiod pod that the pod's Envoy connects to (default: any that is ready)."""

PROXY_CONTAINER = "istio-proxy"
PROXY_IMAGE = "localmesh/proxy"
WORKLOAD_IMAGE = "localmesh/workload"
"""Image (any tag) of the sample service; it is configured by its environment only."""


class UnrunnableContainerError(Exception):
    """A container that cannot be run as a process, for now or ever; the text says why.

    `reason` is what a kubelet would say in the container's status.
    """

    def __init__(self, message: str, reason: str = "CreateContainerConfigError") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Probe:
    """How readiness is found out. `path` None: a TCP connection is enough."""

    host: str
    port: int
    path: str | None
    period: float = 5.0
    timeout: float = 1.0
    failures: int = 3


def annotation(pod: Object, name: str) -> str | None:
    value = pod["metadata"].get("annotations", {}).get(name)
    return None if value is None else str(value)


def containers(pod: Object) -> list[Object]:
    return list(pod["spec"]["containers"])


def has_sidecar(pod: Object) -> bool:
    """Whether the pod has an Envoy beside a workload (a gateway's Envoy is alone)."""
    names = [container["name"] for container in containers(pod)]
    return PROXY_CONTAINER in names and not is_gateway(pod)


def is_gateway(pod: Object) -> bool:
    """Whether the pod's Envoy is a gateway, by Istio's annotation for gateway injection."""
    return annotation(pod, "inject.istio.io/templates") == "gateway"


def is_workload(container: Object) -> bool:
    return str(container.get("image", "")).split(":")[0] == WORKLOAD_IMAGE


def workload_name(pod: Object) -> str:
    """Name of the workload as Istio computes it: the Deployment behind the ReplicaSet, else the pod's own name."""
    meta = pod["metadata"]
    for owner in meta.get("ownerReferences", []):
        if owner["kind"] == "ReplicaSet":
            suffix = "-" + meta.get("labels", {}).get("pod-template-hash", "")
            return str(owner["name"]).removesuffix(suffix)
        if owner.get("controller"):
            return str(owner["name"])
    return str(meta["name"])


def workload_port(pod: Object, container: Object) -> int:
    """Where the sample service listens: behind a sidecar on a port of its own, else on its container port."""
    ports = container.get("ports") or []
    if has_sidecar(pod) or not ports:
        return WORKLOAD_PORT
    return int(ports[0]["containerPort"])


def expand(text: str, env: Mapping[str, str]) -> str:
    """Kubernetes' $(NAME) expansion; $$(NAME) stays as $(NAME), unknown names stay as they are."""

    def substitute(match: re.Match[str]) -> str:
        if match[0].startswith("$$"):
            return match[0][1:]
        return env.get(match[1], match[0])

    return re.sub(r"\$?\$\(([^)]+)\)", substitute, text)


def command(pod: Object, container: Object, ip: str, env: Mapping[str, str]) -> list[str]:
    """Command line of a container that is not an Envoy."""
    if is_workload(container):
        return ["meshkit", "workload", "--listen", f"{ip}:{workload_port(pod, container)}"]
    argv = [*(container.get("command") or []), *(container.get("args") or [])]
    if not container.get("command"):
        image = container.get("image")
        raise UnrunnableContainerError(f"image {image!r} is unknown here and the container has no command", reason="ErrImagePull")
    return [expand(part, env) for part in argv]


def readiness_probe(pod: Object, container: Object, ip: str) -> Probe | None:
    """How to find out whether a container is ready; None: as soon as it runs.

    Probes of a workload behind a sidecar go to the workload itself, as Istio rewrites them.
    """
    if container["name"] == PROXY_CONTAINER:
        return Probe(ip, ENVOY_ADMIN_PORT, "/ready", period=5.0)
    spec = container.get("readinessProbe") or {}
    target = spec.get("httpGet") or spec.get("tcpSocket")
    if target is None:
        return Probe(ip, workload_port(pod, container), "/healthz") if is_workload(container) else None
    port = _port(container, target["port"])
    if is_workload(container):
        port = workload_port(pod, container)
    return Probe(
        host=target.get("host") or ip,
        port=port,
        path=target.get("path", "/") if "httpGet" in spec else None,
        period=float(spec.get("periodSeconds", 10)),
        timeout=float(spec.get("timeoutSeconds", 1)),
        failures=int(spec.get("failureThreshold", 3)),
    )


def _port(container: Object, port: int | str) -> int:
    if isinstance(port, int):
        return port
    for known in container.get("ports") or []:
        if known.get("name") == port:
            return int(known["containerPort"])
    raise UnrunnableContainerError(f"readiness probe: the container has no port named {port!r}")
