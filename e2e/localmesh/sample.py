"""A bookinfo-like application: ingress gateway → productpage → reviews, in a namespace of choice.

Each function returns manifests, to be applied with `Mesh.apply`. The version and the faults of `reviews` are in
its pod template, so releasing a version is an ordinary Deployment of its own, as in Istio's Bookinfo.
"""

from collections.abc import Mapping
from typing import Literal

from localmesh.kube import Object
from localmesh.podspec import PROXY_IMAGE, WORKLOAD_IMAGE, XDS_RELAY_ANNOTATION

Protocol = Literal["http", "grpc"]

PORT = 80
"""Port of every Service of the sample. The sidecar's HTTP proxy serves ports other than 80 under host names that
its own routes never match (istiod gives port-specific domains and has Envoy ignore ports), so 80 it is."""

POD_PORT = 9080
"""Port of every pod of the sample; the sidecar listens there."""

_WORKLOAD_BEHIND = "0.0.0.0:18080"
GRPC_METHOD = "reviews.Reviews/Get"
HOST = "bookinfo.example"
"""Host header that the ingress gateway routes to productpage."""


def namespace(name: str, labels: Mapping[str, str] | None = None) -> list[Object]:
    """A namespace with sidecars, whose proxies know its own Services only and listen on the sample's port."""
    labels = {"istio-injection": "enabled"} | dict(labels or {})
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Sidecar",
            "metadata": {"name": "default", "namespace": name},
            "spec": _sidecar("http"),
        },
    ]


def _sidecar(protocol: Protocol) -> Object:
    """Without traffic interception a sidecar listens only where it is told to."""
    port = {"number": POD_PORT, "protocol": protocol.upper(), "name": protocol}
    return {"ingress": [{"port": port, "defaultEndpoint": _WORKLOAD_BEHIND}], "egress": [{"hosts": ["./*"]}]}


def service(namespace: str, name: str, protocol: Protocol = "http") -> Object:
    """Service of an app; its port's name tells Istio the protocol."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"selector": {"app": name}, "ports": [{"name": protocol, "port": PORT, "targetPort": POD_PORT}]},
    }


def grpc_service(namespace: str, name: str) -> list[Object]:
    """Service of an app that is called by gRPC, and what its sidecars need to speak HTTP/2 to it."""
    sidecar = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"workloadSelector": {"labels": {"app": name}}} | _sidecar("grpc"),
    }
    return [service(namespace, name, "grpc"), sidecar]


def workload(
    namespace: str,
    app: str,
    version: str,
    *,
    replicas: int = 1,
    env: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """Deployment `APP-VERSION` of the sample service; `env` as in `meshkit workload --help`."""
    labels = {"app": app, "version": version}
    environment = {"SERVICE": app, "VERSION": version} | dict(env or {})
    variables: list[Object] = [{"name": name, "value": value} for name, value in environment.items()]
    variables.append({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})
    container = {
        "name": app,
        "image": f"{WORKLOAD_IMAGE}:{version}",
        "ports": [{"name": "http", "containerPort": POD_PORT}],
        "env": variables,
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": POD_PORT}, "periodSeconds": 5},
    }
    template = {
        "metadata": {"labels": labels, "annotations": dict(annotations or {})},
        "spec": {"terminationGracePeriodSeconds": 10, "containers": [container]},
    }
    return _deployment(namespace, f"{app}-{version}", labels, replicas, template)


def reviews(
    namespace: str,
    version: str,
    *,
    replicas: int = 1,
    error_rate: float = 0.0,
    error_code: int = 500,
    latency_ms: int = 0,
    slow_rate: float = 1.0,
    burst: int = 1,
    capacity_rps: float = 0.0,
    answers_probes: bool = True,
    annotations: Mapping[str, str] | None = None,
) -> list[Object]:
    """A release of reviews.

    `error_rate` and `slow_rate` are shares of its answers (0..1); of more than `capacity_rps` requests per second and pod the
    rest fail too. A gRPC call fails with UNAVAILABLE, whatever `error_code` is. Pods without `answers_probes` never get ready.
    """
    env = {
        "ERROR_RATE": str(error_rate),
        "ERROR_CODE": str(error_code),
        "LATENCY_MS": str(latency_ms),
        "SLOW_RATE": str(slow_rate),
        "BURST": str(burst),
        "CAPACITY_RPS": str(capacity_rps),
    }
    deployment = workload(namespace, "reviews", version, replicas=replicas, env=env, annotations=annotations)
    if not answers_probes:
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        # Pods listen on their own address only.
        container["readinessProbe"]["httpGet"]["host"] = "127.0.0.1"
    return [deployment]


def productpage(
    namespace: str, *, replicas: int = 1, annotations: Mapping[str, str] | None = None, calls: Protocol = "http"
) -> list[Object]:
    """The client of reviews, with its Service: every request to it makes one to reviews; one that fails there fails here."""
    env = {"UPSTREAMS": f"grpc://reviews/{GRPC_METHOD}" if calls == "grpc" else "http://reviews/"}
    return [
        service(namespace, "productpage"),
        workload(namespace, "productpage", "v1", replicas=replicas, env=env, annotations=annotations),
    ]


def ingress(namespace: str, port: int, *, name: str = "ingressgateway", xds_relay: bool = False, to: str = "productpage") -> list[Object]:
    """An ingress gateway of the namespace's own that sends everything for HOST to productpage.

    `port` must be one that no other gateway of the mesh has (`Mesh.gateway_port`): the gateway's pod listens there.
    """
    labels = {"app": name, "istio": f"{namespace}-{name}"}
    annotations = {"inject.istio.io/templates": "gateway"}
    if xds_relay:
        annotations[XDS_RELAY_ANNOTATION] = "true"
    template = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {
            "terminationGracePeriodSeconds": 10,
            "containers": [{"name": "istio-proxy", "image": PROXY_IMAGE, "ports": [{"containerPort": port}]}],
        },
    }
    gateway_service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"selector": labels, "ports": [{"name": "http2", "port": 80, "targetPort": port}]},
    }
    gateway: Object = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": labels,
            "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [HOST]}],
        },
    }
    route = {"destination": {"host": to, "port": {"number": PORT}}}
    virtual_service: Object = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": f"{name}-{to}", "namespace": namespace},
        "spec": {"hosts": [HOST], "gateways": [name], "http": [{"route": [route]}]},
    }
    return [gateway_service, _deployment(namespace, name, labels, 1, template), gateway, virtual_service]


def bookinfo(namespace_name: str, gateway_port: int, version: str = "v1") -> list[Object]:
    """Everything at once: namespace, gateway, productpage, and reviews with one version."""
    return [
        *namespace(namespace_name),
        service(namespace_name, "reviews"),
        *reviews(namespace_name, version),
        *productpage(namespace_name),
        *ingress(namespace_name, gateway_port),
    ]


def _deployment(namespace: str, name: str, labels: Mapping[str, str], replicas: int, template: Object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {"replicas": replicas, "selector": {"matchLabels": dict(labels)}, "template": template},
    }
