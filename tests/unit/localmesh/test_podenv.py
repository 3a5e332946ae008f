"""The environment of a container."""

from typing import Any

import pytest
from localmesh.addresses import http_proxy_port
from localmesh.podenv import environment, field, references
from localmesh.podspec import UnrunnableContainerError
from pods import PROXY, WORKLOAD, pod

IP = "10.244.1.7"


def env_of(*env: dict[str, Any], data: Any = None, **container: Any) -> dict[str, str]:
    spec = {"name": "tool", "command": ["tool"], "env": list(env), **container}
    return environment(pod(spec), spec, IP, data or {})


def test_only_a_workload_with_a_sidecar_is_given_a_proxy() -> None:
    assert environment(pod(WORKLOAD, PROXY), WORKLOAD, IP, {})["HTTP_PROXY"] == f"http://127.0.0.1:{http_proxy_port(IP)}"
    assert "HTTP_PROXY" not in environment(pod(WORKLOAD), WORKLOAD, IP, {})
    assert "HTTP_PROXY" not in environment(pod(WORKLOAD, PROXY), PROXY, IP, {})


def test_values_may_use_variables_defined_before_them() -> None:
    env = env_of({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}, {"name": "C", "value": "$(D)"})
    assert (env["B"], env["C"]) == ("12", "$(D)")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "reviews-v1-abc-xyz"),
        ("metadata.namespace", "shop"),
        ("metadata.labels['version']", "v1"),
        ("metadata.annotations['none']", ""),
        ("status.podIP", IP),
        ("status.hostIP", "10.244.0.2"),
        ("spec.nodeName", "local"),
        ("spec.serviceAccountName", "reviews"),
        ("spec.priority", ""),
    ],
)
def test_the_downward_api_gives_fields_of_the_pod(path: str, expected: str) -> None:
    assert field(pod(WORKLOAD), path, IP) == expected


def test_values_come_from_config_maps_and_secrets() -> None:
    data = {("configmaps", "c"): {"k": "from config"}, ("secrets", "s"): {"k": "from secret"}}
    env = env_of(
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "c"}}],
        data=data,
    )
    assert (env["A"], env["B"], env["P_k"]) == ("from config", "from secret", "from config")


def test_all_sources_are_named_so_that_they_can_be_fetched() -> None:
    container = {
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "envFrom": [{"configMapRef": {"name": "c"}}],
    }
    assert references(container) == {("secrets", "s"), ("configmaps", "c")}


def test_a_missing_source_stops_the_container_unless_it_is_optional() -> None:
    ref = {"name": "c", "key": "k"}
    with pytest.raises(UnrunnableContainerError, match="configmaps 'c' not found"):
        env_of({"name": "A", "valueFrom": {"configMapKeyRef": ref}})
    with pytest.raises(UnrunnableContainerError, match="no key 'k'"):
        env_of({"name": "A", "valueFrom": {"configMapKeyRef": ref}}, data={("configmaps", "c"): {}})
    assert "A" not in env_of({"name": "A", "valueFrom": {"configMapKeyRef": ref | {"optional": True}}})


def test_a_source_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(UnrunnableContainerError, match="resourceFieldRef"):
        env_of({"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}})
