"""Configuration of an Envoy that is a sidecar or a gateway of the mesh.

The bootstrap says what Istio's own agent would say (pilot/docs of istio.io/istio, tools/packaging/common/
envoy_bootstrap.json), reduced to what stock Envoy on a shared network namespace needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localmesh.addresses import ENVOY_ADMIN_PORT, ENVOY_STATS_PORT, http_proxy_port
from localmesh.telemetry import SERVICE_VARIABLE, environment_variable

XDS_CLUSTER = "xds-grpc"
ISTIO_VERSION = "1.31.0"

_HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "10s"}}},
    }
}


@dataclass(frozen=True)
class Identity:
    """Whose proxy it is. `labels` are the pod's; `service` is the host name of the Service in front of it."""

    namespace: str
    pod: str
    ip: str
    node: str
    workload: str
    service_account: str
    labels: Mapping[str, str]
    service: str = "unknown"
    router: bool = False

    @property
    def canonical_service(self) -> str:
        """As istiod computes it (pkg/model/proxy: canonical name label, app label, then the workload)."""
        for label in ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app"):
            if self.labels.get(label):
                return self.labels[label]
        return self.workload

    @property
    def canonical_revision(self) -> str:
        for label in ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"):
            if self.labels.get(label):
                return self.labels[label]
        return "latest"

    def environment(self) -> dict[str, str]:
        """What the stats logger of localmesh.telemetry reads about the proxy's own workload."""
        labels = {
            "workload": self.workload,
            "workload_namespace": self.namespace,
            "app": self.labels.get("app", "unknown"),
            "version": self.labels.get("version", "unknown"),
            "canonical_service": self.canonical_service,
            "canonical_revision": self.canonical_revision,
        }
        return {environment_variable(label): value for label, value in labels.items()} | {SERVICE_VARIABLE: self.service}

    def node_message(self) -> dict[str, Any]:
        """Envoy's `node`: how istiod knows which proxy asks."""
        kind = "router" if self.router else "sidecar"
        metadata: dict[str, Any] = {
            "NAME": self.pod,
            "NAMESPACE": self.namespace,
            "NODE_NAME": self.node,
            "OWNER": f"kubernetes://apis/apps/v1/namespaces/{self.namespace}/deployments/{self.workload}",
            "WORKLOAD_NAME": self.workload,
            "SERVICE_ACCOUNT": self.service_account,
            "LABELS": dict(self.labels),
            "CLUSTER_ID": "Kubernetes",
            "MESH_ID": "cluster.local",
            "ISTIO_VERSION": ISTIO_VERSION,
            "INSTANCE_IPS": self.ip,
            "INTERCEPTION_MODE": "NONE",
            "PROXY_CONFIG": {},
        }
        if not self.router:
            metadata["HTTP_PROXY_PORT"] = str(http_proxy_port(self.ip))
        return {
            "id": f"{kind}~{self.ip}~{self.pod}.{self.namespace}~{self.namespace}.svc.cluster.local",
            "cluster": f"{self.canonical_service}.{self.namespace}",
            "locality": {},
            "metadata": metadata,
        }


def bootstrap(identity: Identity, xds_endpoints: Path) -> dict[str, Any]:
    """Envoy's bootstrap. `xds_endpoints` is the file (see `endpoints_file`) that names istiod's addresses."""
    ads = {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER}}],
    }
    over_ads = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    return {
        "node": identity.node_message(),
        "admin": {"address": _address(identity.ip, ENVOY_ADMIN_PORT)},
        "dynamic_resources": {"ads_config": ads, "lds_config": over_ads, "cds_config": over_ads},
        "static_resources": {
            "clusters": [_xds_cluster(xds_endpoints), _admin_cluster(identity.ip)],
            "listeners": [_stats_listener(identity.ip)],
        },
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"prefix": prefix} for prefix in _STATS]}}},
    }


_STATS = ("istio", "cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "control_plane")
"""Istio's default choice: per-cluster statistics of every service would cost memory and nobody reads them."""


def _address(ip: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": ip, "port_value": port}}


def _xds_cluster(endpoints: Path) -> dict[str, Any]:
    return {
        "name": XDS_CLUSTER,
        "type": "EDS",
        "lb_policy": "RANDOM",
        "connect_timeout": "1s",
        "eds_cluster_config": {"eds_config": {"resource_api_version": "V3", "path_config_source": {"path": str(endpoints)}}},
        "typed_extension_protocol_options": _HTTP2,
    }


def endpoints_file(addresses: Sequence[str]) -> dict[str, Any]:
    """Content of the file in which an Envoy finds istiod, for addresses `IP:PORT`. Envoy watches the file."""
    endpoints = []
    for address in addresses:
        ip, _, port = address.rpartition(":")
        endpoints.append({"endpoint": {"address": _address(ip, int(port))}})
    assignment = {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": XDS_CLUSTER,
        "endpoints": [{"lb_endpoints": endpoints}],
    }
    return {"resources": [assignment]}


def _admin_cluster(ip: str) -> dict[str, Any]:
    return {
        "name": "prometheus_stats",
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "load_assignment": {
            "cluster_name": "prometheus_stats",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(ip, ENVOY_ADMIN_PORT)}}]}],
        },
    }


def _stats_listener(ip: str) -> dict[str, Any]:
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "stats",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "backend",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/stats/prometheus"}, "route": {"cluster": "prometheus_stats"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": "prometheus_stats",
        "address": _address(ip, ENVOY_STATS_PORT),
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }


def arguments(binary: Path, bootstrap_file: Path) -> list[str]:
    """Command line. Hot restart is off: its shared memory is not per network namespace."""
    return [
        str(binary),
        *("--config-path", str(bootstrap_file)),
        *("--concurrency", "1"),
        *("--log-level", "warning"),
        # istiod of this version sets fields that this Envoy calls deprecated, in every route.
        *("--component-log-level", "misc:error"),
        *("--drain-time-s", "5"),
        "--disable-hot-restart",
    ]
