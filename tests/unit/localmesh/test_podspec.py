"""What a pod's specification means to the process kubelet."""

import pytest
from localmesh import podspec
from localmesh.podspec import Probe, UnrunnableContainerError
from pods import GATEWAY, PROXY, WORKLOAD, pod

IP = "10.244.1.7"


def test_a_workload_behind_a_sidecar_leaves_the_service_port_to_it() -> None:
    assert podspec.command(pod(WORKLOAD, PROXY), WORKLOAD, IP, {}) == ["meshkit", "workload", "--listen", f"{IP}:18080"]


def test_a_workload_without_a_sidecar_listens_on_its_container_port() -> None:
    assert podspec.command(pod(WORKLOAD), WORKLOAD, IP, {})[-1] == f"{IP}:9080"


def test_other_containers_run_their_command_with_variables_expanded() -> None:
    container = {"name": "tool", "image": "x", "command": ["tool", "--at=$(POD_IP)"], "args": ["$$(POD_IP)", "$(UNKNOWN)"]}
    assert podspec.command(pod(container), container, IP, {"POD_IP": IP}) == ["tool", f"--at={IP}", "$(POD_IP)", "$(UNKNOWN)"]


def test_an_unknown_image_without_a_command_is_named() -> None:
    container = {"name": "nginx", "image": "nginx:1"}
    with pytest.raises(UnrunnableContainerError, match="nginx:1") as caught:
        podspec.command(pod(container), container, IP, {})
    assert caught.value.reason == "ErrImagePull"


def test_a_gateway_is_an_envoy_alone_not_a_sidecar() -> None:
    gateway = pod(PROXY, **GATEWAY)
    assert podspec.is_gateway(gateway)
    assert not podspec.has_sidecar(gateway)
    assert podspec.has_sidecar(pod(WORKLOAD, PROXY))


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ([{"kind": "ReplicaSet", "name": "reviews-v1-abc", "controller": True}], "reviews-v1"),
        ([{"kind": "ReplicaSet", "name": "bare", "controller": True}], "bare"),
        ([{"kind": "StatefulSet", "name": "db", "controller": True}], "db"),
        ([], "reviews-v1-abc-xyz"),
    ],
)
def test_the_workload_is_the_controller_behind_the_pod(owner: list[dict[str, object]], expected: str) -> None:
    assert podspec.workload_name(pod(WORKLOAD, ownerReferences=owner)) == expected


def test_probes_of_a_workload_behind_a_sidecar_bypass_the_sidecar() -> None:
    container = WORKLOAD | {"readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 2}}
    assert podspec.readiness_probe(pod(container, PROXY), container, IP) == Probe(IP, 18080, "/healthz", period=2)
    assert podspec.readiness_probe(pod(container), container, IP) == Probe(IP, 9080, "/healthz", period=2)


def test_an_envoy_is_ready_when_its_admin_interface_says_so() -> None:
    assert podspec.readiness_probe(pod(PROXY), PROXY, IP) == Probe(IP, 15000, "/ready")


def test_a_tcp_probe_needs_a_connection_only() -> None:
    container = {"name": "db", "readinessProbe": {"tcpSocket": {"port": 5432}}}
    probe = podspec.readiness_probe(pod(container), container, IP)
    assert probe is not None
    assert (probe.port, probe.path) == (5432, None)


def test_a_probe_on_a_port_that_has_no_such_name_is_refused() -> None:
    container = {"name": "web", "readinessProbe": {"httpGet": {"port": "admin"}}}
    with pytest.raises(UnrunnableContainerError, match="admin"):
        podspec.readiness_probe(pod(container), container, IP)


def test_a_foreign_container_without_a_probe_is_ready_as_soon_as_it_runs() -> None:
    container = {"name": "tool", "command": ["sleep"]}
    assert podspec.readiness_probe(pod(container), container, IP) is None
