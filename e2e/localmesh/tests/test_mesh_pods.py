"""The process kubelet: pods of real controllers as processes."""

import time
from typing import Any

import pytest
from localmesh import Mesh, sample
from localmesh.tests.shop import Shop


def container(shop: Shop, pod: str, name: str) -> dict[str, object]:
    statuses = shop.mesh.get(f"/api/v1/namespaces/{shop.namespace}/pods/{pod}")["status"]["containerStatuses"]
    return next(dict(status) for status in statuses if status["name"] == name)


def test_rolling_and_deleting_pods_costs_no_client_a_request(shop: Shop) -> None:
    mesh, namespace = shop.mesh, shop.namespace
    shop.route(50)
    with mesh.load(namespace, rps=60) as outside, mesh.load(namespace, rps=30, via=shop.productpage) as inside:
        for version in ("v1", "v2"):
            change = {"spec": {"template": {"metadata": {"annotations": {"rolled": "once"}}}}}
            mesh.patch(f"/apis/apps/v1/namespaces/{namespace}/deployments/reviews-{version}", change)
        mesh.wait_ready(namespace)
        for pod in mesh.pods(namespace, app="reviews", version="v1"):
            mesh.delete(f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}")
            # The Deployment's status is a moment behind: two ready pods that are not being deleted are the proof.
            mesh.wait(lambda: [_is_ready(item) for item in mesh.pods(namespace, app="reviews", version="v1")] == [True, True])
            mesh.wait_ready(namespace)
        mesh.scale(namespace, "reviews-v1", 1)
        mesh.wait(lambda: len(_all_pods(shop, "v1")) == 1, 60, "the deleted pods to be gone")
    assert outside.failures() + inside.failures() == []
    assert outside.versions().keys() == {"v1", "v2"}


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions", []))


def _all_pods(shop: Shop, version: str) -> list[object]:
    path = f"/api/v1/namespaces/{shop.namespace}/pods?labelSelector=app%3Dreviews,version%3D{version}"
    return list(shop.mesh.get(path)["items"])


def test_faults_and_delays_are_as_the_pod_template_says(mesh: Mesh) -> None:
    with mesh.namespace("shop") as namespace:
        mesh.apply(
            sample.service(namespace, "reviews"),
            *sample.reviews(namespace, "v1", error_rate=0.5, latency_ms=300),
            *sample.productpage(namespace),
        )
        mesh.wait_ready(namespace)
        with mesh.load(namespace, rps=40, via=mesh.pod(namespace, app="productpage")) as load:
            # Pods may be ready before the sidecar of their caller knows their endpoints.
            mesh.wait(lambda: load.versions().get("v1"), 30, "an answer of v1")
            began = time.time()
            mesh.wait(lambda: len(load.answers(since=began)) >= 200)
        answers = load.answers(since=began)
        assert 0.35 < len(load.failures(since=began)) / len(answers) < 0.65
        assert min(answer.ms for answer in answers) >= 300


def test_a_killed_container_is_started_again_and_counted(shop: Shop) -> None:
    pod = shop.productpage
    shop.mesh.envoy(shop.namespace, pod).kill()
    shop.mesh.wait(lambda: container(shop, pod, "istio-proxy")["restartCount"] == 1)
    shop.mesh.wait(lambda: container(shop, pod, "istio-proxy")["ready"])
    assert container(shop, pod, "productpage")["restartCount"] == 0


def test_a_crashing_container_backs_off(mesh: Mesh) -> None:
    with mesh.namespace("shop") as namespace:
        mesh.apply(_pod(namespace, "crash", ["sh", "-c", "echo why; exit 3"]))
        path = f"/api/v1/namespaces/{namespace}/pods/crash"
        mesh.wait(lambda: _state(mesh, path).get("waiting", {}).get("reason") == "CrashLoopBackOff")
        last = mesh.get(path)["status"]["containerStatuses"][0]["lastState"]["terminated"]
        assert (last["exitCode"], last["reason"]) == (3, "Error")
        mesh.wait(lambda: mesh.get(path)["status"]["containerStatuses"][0]["restartCount"] >= 3)


def test_a_container_waits_for_its_config_map(mesh: Mesh) -> None:
    with mesh.namespace("shop") as namespace:
        pod = _pod(namespace, "tool", ["sh", "-c", "echo $KEY; sleep 600"])
        pod["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}]
        mesh.apply(pod)
        path = f"/api/v1/namespaces/{namespace}/pods/tool"
        mesh.wait(lambda: _state(mesh, path).get("waiting", {}).get("reason") == "CreateContainerConfigError")
        meta = {"name": "settings", "namespace": namespace}
        mesh.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"KEY": "found"}})
        mesh.wait(lambda: "running" in _state(mesh, path))
        mesh.wait(lambda: mesh.request("GET", f"{path}/log?container=tool")["text"] == "found\n")


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (1, "Failed")])
def test_a_pod_that_runs_once_ends(mesh: Mesh, code: int, phase: str) -> None:
    with mesh.namespace("shop") as namespace:
        pod = _pod(namespace, "once", ["sh", "-c", f"exit {code}"])
        pod["spec"]["restartPolicy"] = "Never"
        mesh.apply(pod)
        mesh.wait(lambda: mesh.get(f"/api/v1/namespaces/{namespace}/pods/once")["status"]["phase"] == phase)


def _pod(namespace: str, name: str, command: list[str]) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "annotations": {"sidecar.istio.io/inject": "false"}}
    containers: list[dict[str, Any]] = [{"name": name, "image": "none", "command": command}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers}}


def _state(mesh: Mesh, path: str) -> dict[str, dict[str, object]]:
    statuses = mesh.get(path).get("status", {}).get("containerStatuses") or [{}]
    return dict(statuses[0].get("state", {}))
