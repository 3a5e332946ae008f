"""From the tags of Envoy's access logger to Istio's labels, by Prometheus' rules of relabelling."""

import re
from typing import Any

import pytest
from localmesh.envoy import Identity
from localmesh.telemetry import (
    PEER_HEADER,
    SERVICE_VARIABLE,
    WORKLOAD_LABELS,
    environment_variable,
    envoy_filter,
    metric_relabel_configs,
)


def relabel(labels: dict[str, str]) -> dict[str, str]:
    """Prometheus' metric_relabel_configs: anchored patterns, sources joined by semicolons, empty means absent."""
    labels = dict(labels)
    for rule in metric_relabel_configs():
        if rule.get("action") == "labeldrop":
            labels = {name: value for name, value in labels.items() if not re.fullmatch(rule["regex"], name)}
            continue
        match = re.fullmatch(rule["regex"], ";".join(labels.get(name, "") for name in rule["source_labels"]))
        if match:
            labels[rule["target_label"]] = match.expand(re.sub(r"\$(\d)", r"\\\1", rule["replacement"]))
    return {name: value for name, value in labels.items() if value}


def source(**changes: str) -> dict[str, str]:
    """What a client's Envoy shows for one answered request to reviews v1."""
    own = {f"source_{label}": "x" for label in WORKLOAD_LABELS}
    seen = {
        "__name__": "envoy_istio_requests_total",
        "reporter": "source",
        "response_code": "200",
        "response_flags": "-",
        "grpc_response_status": "",
        "upstream_cluster": "outbound|80|v1|reviews.shop.svc.cluster.local",
        "upstream_workload": "reviews-v1;shop;reviews;v1;Kubernetes",
        "request_host": "reviews",
    }
    return relabel(own | seen | changes)


def destination(**changes: str) -> dict[str, str]:
    own = {f"destination_{label}": "x" for label in WORKLOAD_LABELS}
    seen = {
        "__name__": "envoy_istio_request_duration_milliseconds_bucket",
        "reporter": "destination",
        "grpc_response_status": "",
        "destination_service": "reviews.shop.svc.cluster.local",
        "peer": "productpage-v1;shop;productpage;v1;productpage;v1",
    }
    return relabel(own | seen | changes)


def subset(labels: dict[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in labels.items() if name.startswith(prefix)}


def test_metrics_get_istios_names() -> None:
    assert source()["__name__"] == "istio_requests_total"
    assert destination()["__name__"] == "istio_request_duration_milliseconds_bucket"


def test_a_client_names_the_workload_that_answered() -> None:
    assert subset(source(), "destination_") == {
        "workload": "reviews-v1",
        "workload_namespace": "shop",
        "app": "reviews",
        "version": "v1",
        "canonical_service": "reviews",
        "canonical_revision": "v1",
        "cluster": "Kubernetes",
        "service": "reviews.shop.svc.cluster.local",
        "service_name": "reviews",
        "service_namespace": "shop",
    }


def test_without_an_upstream_host_the_service_is_known_and_the_workload_is_not() -> None:
    labels = subset(source(response_code="503", response_flags="UH", upstream_workload=""), "destination_")
    assert labels["service"] == "reviews.shop.svc.cluster.local"
    assert {labels[name] for name in (*WORKLOAD_LABELS, "cluster")} == {"unknown"}


@pytest.mark.parametrize(("host", "expected"), [("reviews", "reviews"), ("", "unknown")])
def test_without_a_cluster_a_sidecar_falls_back_to_the_host_header_and_a_gateway_to_unknown(host: str, expected: str) -> None:
    labels = source(response_flags="NC", upstream_cluster="", upstream_workload="", request_host=host)
    assert labels["destination_service"] == labels["destination_service_name"] == expected
    assert labels["destination_service_namespace"] == "unknown"


def test_a_server_knows_the_client_that_named_itself() -> None:
    labels = subset(destination(), "source_")
    assert (labels["workload"], labels["workload_namespace"], labels["version"]) == ("productpage-v1", "shop", "v1")
    assert {value for name, value in subset(destination(peer=""), "source_").items()} == {"unknown"}


def test_a_server_names_its_own_service() -> None:
    labels = destination()
    assert (labels["destination_service_name"], labels["destination_service_namespace"]) == ("reviews", "shop")


def test_the_protocol_follows_from_the_grpc_status() -> None:
    assert source()["request_protocol"] == "http"
    assert "grpc_response_status" not in source()
    grpc = source(grpc_response_status="14")
    assert (grpc["request_protocol"], grpc["grpc_response_status"]) == ("grpc", "14")


def test_our_own_tags_do_not_reach_prometheus() -> None:
    assert not {"upstream_cluster", "upstream_workload", "request_host", "peer"} & (source().keys() | destination().keys())


def test_other_metrics_of_envoy_stay_as_they_are() -> None:
    plain = {"__name__": "envoy_server_live", "pod": "p"}
    assert relabel(plain) == plain


def test_what_the_filter_reads_from_the_environment_is_what_an_envoy_gets() -> None:
    identity = Identity("shop", "p", "10.244.1.7", "local", "reviews-v1", "default", {})
    text = str(envoy_filter("istio-system"))
    read = set(re.findall(r"%ENVIRONMENT\((\w+)\)%", text))
    assert read == set(identity.environment())
    assert {environment_variable(label) for label in WORKLOAD_LABELS} | {SERVICE_VARIABLE} == read
    assert f"%REQ({PEER_HEADER})%" in text


def test_every_kind_of_proxy_counts_requests() -> None:
    patches: list[dict[str, Any]] = envoy_filter("istio-system")["spec"]["configPatches"]
    loggers = [patch["match"]["context"] for patch in patches if patch["applyTo"] == "NETWORK_FILTER"]
    assert sorted(loggers) == ["GATEWAY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND"]
