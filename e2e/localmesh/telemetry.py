"""Istio's standard metrics from an Envoy without Istio's own filters.

The mesh runs stock Envoy, which has no `istio.stats` filter. EnvoyFilters give every connection manager Envoy's
own stats access logger instead, with one counter and one histogram tagged with what Istio's labels are made of, and
have clients say who they are in a header, as Istio's metadata exchange does. The relabelling here turns those tags
into Istio's metric and label names when Prometheus scrapes.
Names and meaning of the labels: istio.io/latest/docs/reference/config/metrics.
"""

from collections.abc import Mapping
from typing import Any

from localmesh.kube import Object

_STATS_LOGGER = "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"
_MUTATION = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_FILTERS = "envoy.extensions.filters.network"
_HCM = f"type.googleapis.com/{_FILTERS}.http_connection_manager.v3.HttpConnectionManager"
_HCM_NAME = "envoy.filters.network.http_connection_manager"

PEER_HEADER = "x-localmesh-peer"
"""Request header in which a client proxy names its workload, for the server proxy's metrics."""

WORKLOAD_LABELS = ("workload", "workload_namespace", "app", "version", "canonical_service", "canonical_revision")
"""Labels that describe one side of a request, each with the prefix source_ or destination_."""

_ENDPOINT_METADATA = ("workload", "workload_namespace", "canonical_service", "canonical_revision", "cluster")
"""The order in which istiod writes an endpoint's workload into its metadata."""

_ANSWER = {
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "grpc_response_status": "%GRPC_STATUS_NUMBER%",
}


def environment_variable(label: str) -> str:
    """Variable in an Envoy's environment that holds a label of its own workload."""
    return f"LOCALMESH_{label.upper()}"


SERVICE_VARIABLE = "LOCALMESH_SERVICE"
"""Variable in an Envoy's environment that holds the host name of the Service its workload belongs to."""


def _own(prefix: str) -> dict[str, str]:
    return {f"{prefix}_{label}": f"%ENVIRONMENT({environment_variable(label)})%" for label in WORKLOAD_LABELS}


_GATEWAY = (
    {"reporter": "source", **_ANSWER}
    | _own("source")
    | {"upstream_cluster": "%UPSTREAM_CLUSTER_RAW%", "upstream_workload": "%UPSTREAM_METADATA(istio:workload)%"}
)
_OUTBOUND = _GATEWAY | {"request_host": "%REQ(:AUTHORITY)%"}
_INBOUND = (
    {"reporter": "destination", **_ANSWER}
    | _own("destination")
    | {"destination_service": f"%ENVIRONMENT({SERVICE_VARIABLE})%", "peer": f"%REQ({PEER_HEADER})%"}
)


def envoy_filter(root_namespace: str) -> Object:
    """The EnvoyFilter that makes every proxy of the mesh count requests."""
    patches = [_logger("SIDECAR_INBOUND", _INBOUND), _logger("SIDECAR_OUTBOUND", _OUTBOUND), _logger("GATEWAY", _GATEWAY)]
    patches += [_peer_header("SIDECAR_OUTBOUND"), _peer_header("GATEWAY")]
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "standard-metrics", "namespace": root_namespace},
        "spec": {"configPatches": patches},
    }


def _logger(context: str, tags: Mapping[str, str]) -> Object:
    stat_tags = [{"name": name, "value_format": value} for name, value in tags.items()]
    requests = {"stat": {"name": "requests_total", "tags": stat_tags}, "value_fixed": 1}
    duration = {
        "stat": {"name": "request_duration_milliseconds", "tags": stat_tags},
        "unit": "Milliseconds",
        "value_format": "%DURATION%",
    }
    logger = {"@type": _STATS_LOGGER, "stat_prefix": "istio", "counters": [requests], "histograms": [duration]}
    access_log = [{"name": "envoy.access_loggers.stats", "typed_config": logger}]
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": context, "listener": {"filterChain": {"filter": {"name": _HCM_NAME}}}},
        "patch": {"operation": "MERGE", "value": {"typed_config": {"@type": _HCM, "access_log": access_log}}},
    }


def _peer_header(context: str) -> Object:
    value = ";".join(f"%ENVIRONMENT({environment_variable(label)})%" for label in WORKLOAD_LABELS)
    append = {"header": {"key": PEER_HEADER, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    mutation = {"@type": _MUTATION, "mutations": {"request_mutations": [{"append": append}]}}
    return {
        "applyTo": "HTTP_FILTER",
        "match": {
            "context": context,
            "listener": {"filterChain": {"filter": {"name": _HCM_NAME, "subFilter": {"name": "envoy.filters.http.router"}}}},
        },
        "patch": {
            "operation": "INSERT_BEFORE",
            "value": {"name": "envoy.filters.http.header_mutation", "typed_config": mutation},
        },
    }


def metric_relabel_configs() -> list[dict[str, Any]]:
    """Prometheus relabelling from Envoy's names and our tags to Istio's."""
    return [
        _rule(["__name__"], "envoy_(istio_.*)", "__name__", "$1"),
        *_destination_workload(),
        *_destination_service(),
        *_source_workload(),
        _rule(["reporter"], ".+", "connection_security_policy", "none"),
        _rule(["reporter", "grpc_response_status"], ".+;", "request_protocol", "http"),
        _rule(["reporter", "grpc_response_status"], r".+;\d+", "request_protocol", "grpc"),
        {"regex": "upstream_cluster|upstream_workload|request_host|peer", "action": "labeldrop"},
    ]


def _destination_workload() -> list[dict[str, Any]]:
    """A request that reached no endpoint of the mesh has no destination workload: Istio says "unknown"."""
    labels = (*WORKLOAD_LABELS, "cluster")
    rules = [_rule(["reporter"], "source", f"destination_{label}", "unknown") for label in labels]
    rules += [
        _rule(["upstream_workload"], _nth(position, len(_ENDPOINT_METADATA)), f"destination_{label}", "$1")
        for position, label in enumerate(_ENDPOINT_METADATA)
    ]
    for label, same in (("app", "canonical_service"), ("version", "canonical_revision")):
        rules.append(_rule(["reporter", f"destination_{same}"], "source;(.+)", f"destination_{label}", "$1"))
    return [*rules, _rule(["reporter"], "destination", "destination_cluster", "Kubernetes")]


def _destination_service() -> list[dict[str, Any]]:
    """From the cluster; where there is none (NC), sidecars fall back to the Host header and gateways to "unknown"."""
    unknown = [_rule(["reporter"], ".+", f"destination_service_{part}", "unknown") for part in ("name", "namespace")]
    kubernetes = r"([^.]+)\.([^.]+)\.svc\..*"
    return [
        *unknown,
        _rule(["reporter"], "source", "destination_service", "unknown"),
        _rule(["request_host"], "(.+)", "destination_service", "$1"),
        _rule(["request_host"], "(.+)", "destination_service_name", "$1"),
        _rule(["upstream_cluster"], r"outbound\|[^|]*\|[^|]*\|(.+)", "destination_service", "$1"),
        _rule(["upstream_cluster"], r"([^|]+)", "destination_service_name", "$1"),
        _rule(["destination_service"], kubernetes, "destination_service_name", "$1"),
        _rule(["destination_service"], kubernetes, "destination_service_namespace", "$2"),
    ]


def _source_workload() -> list[dict[str, Any]]:
    """The server's proxy knows the client only when the client's proxy has named itself."""
    labels = (*WORKLOAD_LABELS, "cluster")
    rules = [_rule(["reporter"], "destination", f"source_{label}", "unknown") for label in labels]
    rules += [
        _rule(["peer"], _nth(position, len(WORKLOAD_LABELS)), f"source_{label}", "$1") for position, label in enumerate(WORKLOAD_LABELS)
    ]
    return [*rules, _rule(["reporter", "peer"], "source;|destination;.+", "source_cluster", "Kubernetes")]


def _nth(position: int, count: int) -> str:
    """Pattern whose group is one of `count` values joined by semicolons."""
    return ";".join("([^;]+)" if i == position else "[^;]*" for i in range(count))


def _rule(sources: list[str], regex: str, target: str, replacement: str) -> dict[str, Any]:
    return {"source_labels": sources, "regex": regex, "target_label": target, "replacement": replacement}
