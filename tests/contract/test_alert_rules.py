"""The chart's alerts and the dashboard's queries, put to a real Prometheus."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml
from apiserver import running, wait_until
from chartkit import CHART, render
from localmesh.addresses import free_ports
from localmesh.binaries import ensure


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prometheus that has loaded the chart's rules."""
    folder = tmp_path_factory.mktemp("prometheus")
    (rule,) = [found for found in render({"metrics": {"prometheusRule": {"enabled": True}}}) if found["kind"] == "PrometheusRule"]
    (folder / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    (folder / "prometheus.yaml").write_text(yaml.safe_dump({"global": {"evaluation_interval": "1s"}, "rule_files": ["rules.yaml"]}))
    (port,) = free_ports(1)
    command = [
        str(ensure(["prometheus"])["prometheus"]),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    url = f"http://127.0.0.1:{port}"
    with running(command, folder / "prometheus.log"):
        wait_until(lambda: requests.get(f"{url}/-/ready", timeout=5).ok, "Prometheus is not ready")
        yield url


def test_the_alerts_are_loaded_and_evaluated(prometheus: str) -> None:
    def rules() -> list[dict[str, Any]]:
        (group,) = requests.get(f"{prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
        return list(group["rules"])

    assert len(rules()) >= 6
    wait_until(lambda: all(rule["health"] != "unknown" for rule in rules()), "the alerts have not been evaluated", 90)
    assert {rule["name"]: rule.get("lastError", "") for rule in rules() if rule["health"] != "ok"} == {}
    # Nothing is scraped here, so the operator is missing and nothing else is wrong.
    assert [rule["name"] for rule in rules() if rule["state"] != "inactive"] == ["CanaryRolloutOperatorDown"]


def test_the_dashboard_s_queries_are_understood(prometheus: str) -> None:
    dashboard = json.loads((CHART / "files" / "dashboards" / "canaryrollout.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m").replace("$namespace", ".*").replace("$name", ".*")
            answer = requests.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10).json()
            assert answer["status"] == "success", (panel["title"], answer)
