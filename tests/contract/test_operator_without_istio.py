"""The operator on a cluster that does not serve Istio's types: it says so on the object."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver import ApiServer, wait_until

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "without-istio"
ROLLOUTS = f"/apis/canaryrollout.io/v1beta1/namespaces/{NAMESPACE}/canaryrollouts"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
def namespace(apiserver: ApiServer) -> str:
    """A namespace with a Service, on a server that knows our CRD and none of Istio's."""
    definition = yaml.safe_load((ROOT / "crds" / "canaryrollouts.canaryrollout.io.yaml").read_text())
    apiserver.request("POST", CRDS, definition)
    wait_until(lambda: apiserver.request("GET", "/apis/canaryrollout.io/v1beta1/canaryrollouts").ok, "the API")
    apiserver.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    service = {"metadata": {"name": "reviews"}, "spec": {"selector": {"app": "reviews"}, "ports": [{"port": 80}]}}
    apiserver.create(f"/api/v1/namespaces/{NAMESPACE}/services", service)
    return NAMESPACE


@pytest.fixture
def operator(apiserver: ApiServer, namespace: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An operator process on that server."""
    command = [sys.executable, "-m", "canaryrollout", "operator", "--kubeconfig", str(apiserver.write_kubeconfig(tmp_path / "kubeconfig"))]
    command += ["--namespace", namespace, "--watch-namespaces", namespace, "--prometheus-url", "http://127.0.0.1:9"]
    command += ["--server-health-port", "0", "--server-metrics-port", "0", "--server-address", "127.0.0.1"]
    with (tmp_path / "operator.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT / "operator")})
    yield process
    process.terminate()
    assert process.wait(20) in (0, -15)


def ready_condition(apiserver: ApiServer) -> dict[str, Any]:
    """The Ready condition of the only CanaryRollout."""
    status = apiserver.request("GET", f"{ROLLOUTS}/reviews").json().get("status") or {}
    return next((c for c in status.get("conditions") or [] if c["type"] == "Ready"), {})


@pytest.mark.usefixtures("operator")
def test_missing_istio_definitions_are_named_in_the_condition(apiserver: ApiServer) -> None:
    metadata = {"name": "reviews", "namespace": NAMESPACE}
    spec = {"service": "reviews", "version": "v1"}
    rollout = {"apiVersion": "canaryrollout.io/v1beta1", "kind": "CanaryRollout", "metadata": metadata, "spec": spec}
    apiserver.create(ROLLOUTS, rollout)
    wait_until(lambda: ready_condition(apiserver).get("reason") == "IstioNotInstalled", "the reason")
    condition = ready_condition(apiserver)
    assert condition["status"] == "False"
    assert "install Istio's CRDs" in condition["message"]
