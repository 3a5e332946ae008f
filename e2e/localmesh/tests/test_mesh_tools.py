"""kubectl and istioctl, as a person would use them."""

import subprocess
import time

from localmesh.tests.shop import Shop


def run(*command: str, timeout: float = 60) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_kubectl_shows_injected_pods_and_their_logs(shop: Shop) -> None:
    pods = run("kubectl", "get", "pods", "-n", shop.namespace, "--no-headers").splitlines()
    assert len(pods) == 5
    assert sum(" 2/2 " in " ".join(pod.split()) for pod in pods) == 4
    assert "serves on" in run("kubectl", "logs", "-n", shop.namespace, shop.productpage, "-c", "productpage")


def test_kubectl_exec_runs_in_the_pods_environment(shop: Shop) -> None:
    execute = ("kubectl", "exec", "-n", shop.namespace, shop.productpage)
    assert "SERVICE=productpage" in run(*execute, "-c", "productpage", "--", "env")
    assert run(*execute, "-c", "istio-proxy", "--", "pilot-agent", "request", "GET", "/ready").strip() == "LIVE"


def test_kubectl_port_forward_reaches_the_pod(shop: Shop) -> None:
    command = ["kubectl", "port-forward", "-n", shop.namespace, shop.productpage, "18999:9080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        assert "18999" in forward.stdout.readline()
        assert '"service":"productpage"' in run("curl", "-s", "http://127.0.0.1:18999/")
        forward.terminate()


def test_istioctl_sees_the_proxies_in_sync(shop: Shop) -> None:
    status = run("istioctl", "proxy-status")
    assert status.count(shop.namespace) == 5
    shop.route(20)
    time.sleep(1)
    routes = run("istioctl", "proxy-config", "routes", f"{shop.productpage}.{shop.namespace}")
    assert f"reviews.{shop.namespace}" in routes
    assert "Routes Match" in run("istioctl", "proxy-status", f"{shop.productpage}.{shop.namespace}")


def test_istioctl_analyze_finds_nothing_wrong_with_the_sample(shop: Shop) -> None:
    assert "No validation issues" in run("istioctl", "analyze", "-n", shop.namespace)
