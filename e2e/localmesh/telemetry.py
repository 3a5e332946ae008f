"""Istio's standard metrics from an Envoy without Istio's own filters.

The mesh runs stock Envoy, which has no `istio.stats` filter. EnvoyFilters give every connection manager Envoy's
own stats access logger instead, with one counter and one histogram tagged with what Istio's labels are made of;
the relabelling here turns those tags into Istio's metric and label names when Prometheus scrapes.
Names and meaning of the labels: istio.io/latest/docs/reference/config/metrics.
"""

from typing import Any

from localmesh.kube import Object

REQUESTS = "istio_requests_total"
DURATION = "istio_request_duration_milliseconds"

_STATS_LOGGER = "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

_OWN = {
    "workload": "%ENVIRONMENT(LOCALMESH_WORKLOAD)%",
    "workload_namespace": "%ENVIRONMENT(LOCALMESH_NAMESPACE)%",
    "app": "%ENVIRONMENT(LOCALMESH_APP)%",
    "version": "%ENVIRONMENT(LOCALMESH_VERSION)%",
    "canonical_service": "%ENVIRONMENT(LOCALMESH_CANONICAL_SERVICE)%",
    "canonical_revision": "%ENVIRONMENT(LOCALMESH_CANONICAL_REVISION)%",
}
"""What a proxy says about its own workload, from the environment the kubelet starts it with."""

_ANSWER = {
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "grpc_response_status": "%GRPC_STATUS_NUMBER%",
}

_OUTBOUND = (
    {"reporter": "source"}
    | _ANSWER
    | {f"source_{name}": value for name, value in _OWN.items()}
    | {"upstream_cluster": "%UPSTREAM_CLUSTER_RAW%", "upstream_workload": "%UPSTREAM_METADATA(istio:workload)%"}
)
_INBOUND = (
    {"reporter": "destination"}
    | _ANSWER
    | {f"destination_{name}": value for name, value in _OWN.items()}
    | {"destination_service": "%ENVIRONMENT(LOCALMESH_SERVICE)%"}
)


def envoy_filters(root_namespace: str) -> list[Object]:
    """EnvoyFilters that add the access logger to every proxy of the mesh."""
    contexts = {"SIDECAR_INBOUND": _INBOUND, "SIDECAR_OUTBOUND": _OUTBOUND, "GATEWAY": _OUTBOUND}
    return [
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": "standard-metrics", "namespace": root_namespace},
            "spec": {"configPatches": [_patch(context, tags) for context, tags in contexts.items()]},
        }
    ]


def _patch(context: str, tags: dict[str, str]) -> Object:
    stat_tags = [{"name": name, "value_format": value} for name, value in tags.items()]
    logger = {
        "@type": _STATS_LOGGER,
        "stat_prefix": "istio",
        "counters": [{"stat": {"name": "requests_total", "tags": stat_tags}, "value_fixed": 1}],
        "histograms": [
            {
                "stat": {"name": "request_duration_milliseconds", "tags": stat_tags},
                "unit": "Milliseconds",
                "value_format": "%DURATION%",
            }
        ],
    }
    access_log = [{"name": "envoy.access_loggers.stats", "typed_config": logger}]
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {
            "context": context,
            "listener": {"filterChain": {"filter": {"name": "envoy.filters.network.http_connection_manager"}}},
        },
        "patch": {
            "operation": "MERGE",
            "value": {"typed_config": {"@type": _HCM, "access_log": access_log}},
        },
    }


def metric_relabel_configs() -> list[dict[str, Any]]:
    """Prometheus relabelling from Envoy's names and our tags to Istio's."""
    workload = ["workload", "workload_namespace", "canonical_service", "canonical_revision", "cluster"]
    host = r"outbound\|[^|]*\|[^|]*\|"
    rules: list[dict[str, Any]] = [
        _rule(["__name__"], r"envoy_(istio_.*)", "__name__", "$1"),
        # A request with no upstream host, or none of the mesh, has no workload: Istio says "unknown".
        _rule(["reporter", "upstream_cluster"], r"source;.*", "destination_service", "unknown"),
        _rule(["upstream_cluster"], host + r"(.+)", "destination_service", "$1"),
    ]
    rules += [_rule(["reporter"], "source", f"destination_{name}", "unknown") for name in workload]
    for position, name in enumerate(workload):
        pattern = ";".join("([^;]+)" if i == position else "[^;]*" for i in range(len(workload)))
        rules.append(_rule(["upstream_workload"], pattern, f"destination_{name}", "$1"))
    for own, other in (("app", "canonical_service"), ("version", "canonical_revision")):
        rules.append(_rule(["reporter", f"destination_{other}"], "source;(.+)", f"destination_{own}", "$1"))
    rules += [
        _rule(["destination_service"], r"([^.]+)\.([^.]+)\.svc\..*", "destination_service_name", "$1"),
        _rule(["destination_service"], r"([^.]+)\.([^.]+)\.svc\..*", "destination_service_namespace", "$2"),
    ]
    rules += [
        _rule(["reporter"], "destination", f"source_{name}", "unknown")
        for name in (*workload[:4], "app", "version", "cluster")
    ]
    rules += [
        _rule(["reporter"], "source", "source_cluster", "Kubernetes"),
        _rule(["reporter"], "destination", "destination_cluster", "Kubernetes"),
        _rule(["reporter"], ".+", "connection_security_policy", "none"),
        _rule(["reporter", "grpc_response_status"], ".+;", "request_protocol", "http"),
        _rule(["reporter", "grpc_response_status"], r".+;\d+", "request_protocol", "grpc"),
        {"regex": "upstream_(cluster|workload)", "action": "labeldrop"},
    ]
    return rules


def _rule(sources: list[str], regex: str, target: str, replacement: str) -> dict[str, Any]:
    return {"source_labels": sources, "regex": regex, "target_label": target, "replacement": replacement}
