"""The operator's own metrics, scraped by a real Prometheus and asked with the chart's rules and its dashboard's queries."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml
from apiserver import running, wait_until
from canaryrollout.telemetry import Metrics, RolloutView
from chartkit import CHART, render
from localmesh.addresses import free_ports
from localmesh.binaries import ensure
from prometheus_client import start_http_server

CHANGES = 20
"""More than the few that increase() makes of a short history."""


@pytest.fixture
def operator() -> Metrics:
    """Five rollouts, of which two have given way; nothing has been changed yet."""
    metrics = Metrics()
    given_way = {"quiet": "", "edited-once": "", "fought-over": "", "conflict": "DriftConflict", "taken": "TakenOver"}
    for name, reason in given_way.items():
        metrics.show("shop", name, RolloutView("reviews", "v2", "v1", "Stable", 0, 0, {}, reason))
    return metrics


@pytest.fixture
def prometheus(operator: Metrics, tmp_path: Path) -> Iterator[str]:
    """The URL of a Prometheus that scrapes it."""
    scraped, own = free_ports(2)
    server, thread = start_http_server(scraped, "127.0.0.1", operator.registry)
    targets = [{"job_name": "operator", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": targets}))
    command = [
        str(ensure(["prometheus"])["prometheus"]),
        f"--config.file={tmp_path / 'prometheus.yaml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
    ]
    url = f"http://127.0.0.1:{own}"
    try:
        with running(command, tmp_path / "prometheus.log"):
            wait_until(lambda: requests.get(f"{url}/-/ready", timeout=5).ok, "Prometheus is not ready")
            yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_alert_names_those_that_are_fought_over_or_given_up_and_no_others(operator: Metrics, prometheus: str) -> None:
    (rule,) = [found for found in render({"metrics": {"prometheusRule": {"enabled": True}}}) if found["kind"] == "PrometheusRule"]
    expressions = {found["alert"]: found["expr"] for found in rule["spec"]["groups"][0]["rules"]}

    def named(query: str) -> set[str]:
        answer = requests.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10).json()
        return {found["metric"]["name"] for found in answer["data"]["result"]}

    wait_until(lambda: "quiet" in named("canaryrollout_foreign_changes_total == 0"), "nothing has been scraped")
    operator.foreign_changes.labels("shop", "edited-once").inc()
    operator.foreign_changes.labels("shop", "fought-over").inc(CHANGES)
    wait_until(lambda: "fought-over" in named(f"canaryrollout_foreign_changes_total == {CHANGES}"), "the changes have not been scraped")
    wait_until(lambda: "fought-over" in named(expressions["CanaryRolloutDriftConflict"]), "no alert about changes all the time")
    assert named(expressions["CanaryRolloutDriftConflict"]) == {"fought-over", "conflict"}
    assert named(expressions["CanaryRolloutPausedTooLong"]) == {"taken"}


def test_operators_that_only_stand_by_are_as_good_as_none(operator: Metrics, prometheus: str) -> None:
    (rule,) = [found for found in render({"metrics": {"prometheusRule": {"enabled": True}}}) if found["kind"] == "PrometheusRule"]
    (down,) = [found["expr"] for found in rule["spec"]["groups"][0]["rules"] if found["alert"] == "CanaryRolloutOperatorDown"]

    def holds(query: str) -> bool:
        return bool(requests.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10).json()["data"]["result"])

    wait_until(lambda: holds("canaryrollout_leader == 0"), "nothing has been scraped")
    assert holds(down)
    operator.leader.set(1)
    wait_until(lambda: holds("canaryrollout_leader == 1"), "the leader has not been scraped")
    assert not holds(down)


def test_the_first_event_of_its_kind_is_on_the_dashboard(operator: Metrics, prometheus: str) -> None:
    dashboard = json.loads((CHART / "files" / "dashboards" / "canaryrollout.json").read_text())
    expressions = {panel["title"]: panel["targets"][0]["expr"] for panel in dashboard["panels"]}

    def shown(title: str, label: str) -> set[str]:
        query = expressions[title].replace("$namespace", "shop").replace("$name", ".*")
        answer = requests.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10).json()
        return {found["metric"][label] for found in answer["data"]["result"]}

    def scraped(query: str) -> bool:
        return bool(requests.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10).json()["data"]["result"])

    wait_until(lambda: scraped("canaryrollout_foreign_changes_total == 0"), "nothing has been scraped")
    assert (shown("Rollbacks", "reason"), shown("Duration of rollouts", "outcome")) == (set(), set())
    operator.rolled_back("shop", "quiet", "ErrorRate")
    operator.duration.labels("shop", "RolledBack").observe(90.0)
    wait_until(lambda: shown("Rollbacks", "reason") == {"ErrorRate"}, "the first rollback has not been counted")
    wait_until(lambda: shown("Duration of rollouts", "outcome") == {"RolledBack"}, "the first duration has not been counted")
