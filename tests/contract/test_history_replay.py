"""Backtests on the history of a real Prometheus: which deployments are found, and what the policy would have done to them."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from canaryrollout.cli.main import app
from canaryrollout.simulate.draws import binomial, poisson
from prometheus_server import Pod, PrometheusServer, running_prometheus
from typer.testing import CliRunner

SCRAPE_MS = 15_000
MINUTE = 60_000
RPS = 40.0
MANIFEST = """
apiVersion: canaryrollout.io/v1beta1
kind: CanaryRollout
metadata: {name: reviews, namespace: shop}
spec: {service: reviews, version: v9}
"""


@dataclass
class Past:
    """The counters of one service's pods in the last three hours, scraped every 15 s."""

    now: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    rng: Random = field(default_factory=lambda: Random(7))
    series: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def serve(self, workload: str, version: str, began: float, ended: float, errors: float, namespace: str = "shop") -> int:
        """All requests go to this version from so many minutes ago until so many minutes ago. Returns how many failed."""
        labels = {
            "reporter": "destination",
            "destination_workload": workload,
            "destination_workload_namespace": namespace,
            "destination_version": version,
            "destination_service": f"reviews.{namespace}.svc.cluster.local",
            "destination_service_name": "reviews",
            "response_flags": "-",
            "grpc_response_status": "",
        }
        pod = Pod(f"{workload}-{version}-{began:g}", namespace)
        good = self.series.setdefault(pod.series("istio_requests_total", {**labels, "response_code": "200"}), [])
        bad = self.series.setdefault(pod.series("istio_requests_total", {**labels, "response_code": "503"}), [])
        metric = "istio_request_duration_milliseconds_bucket"
        buckets = [self.series.setdefault(pod.series(metric, {**labels, "response_code": "200", "le": le}), []) for le in ("500", "+Inf")]
        total = failed = 0
        for at in range(self.now - int(began * MINUTE), self.now - int(ended * MINUTE) + 1, SCRAPE_MS):
            new = poisson(self.rng, RPS * SCRAPE_MS / 1000.0)
            wrong = binomial(self.rng, new, errors)
            total, failed = total + new, failed + wrong
            good.append((at, total - failed))
            bad.append((at, failed))
            for points in buckets:
                points.append((at, total - failed))
        return failed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "rollout.yaml"
    path.write_text(MANIFEST)
    return path


def simulate(*arguments: str) -> Any:
    """What the command prints, as JSON."""
    result = CliRunner().invoke(app, ["simulate", *arguments, "-o", "json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_past_deployments_are_judged_by_the_policy(server: PrometheusServer, manifest: Path) -> None:
    past = Past()
    past.serve("reviews-v1", "v1", 170, 95, 0.001)
    really = past.serve("reviews-v2", "v2", 95, 85, 0.05)
    past.serve("reviews-v1", "v1", 85, 60, 0.001)
    past.serve("reviews-v3", "v3", 60, 0, 0.001)
    server.remember(past.series)
    bad, good = simulate("-f", str(manifest), "--prometheus-url", server.url, "--since", "3h")

    assert (bad["workload"], bad["version"], bad["after"]["workload"]) == ("reviews-v2", "v2", "reviews-v1")
    assert bad["deployed"] == pytest.approx(past.now / 1000.0 - 95 * 60, abs=30)
    assert (bad["outcome"], bad["weight"]) == ("RolledBack", 5)
    assert "limit 1 %" in bad["explanation"]
    assert bad["reallyFailedRequests"] == pytest.approx(really, rel=0.05)
    assert bad["failedRequests"] < really / 20

    assert (good["workload"], good["after"]["workload"], good["outcome"]) == ("reviews-v3", "reviews-v1", "Promoted")
    assert good["failedRequests"] <= good["reallyFailedRequests"] * 1.05


def test_a_new_version_of_the_same_workload_is_a_deployment(server: PrometheusServer, manifest: Path) -> None:
    past = Past()
    past.serve("reviews", "v1", 170, 60, 0.001, namespace="inplace")
    past.serve("reviews", "v2", 60, 30, 0.5, namespace="inplace")
    server.remember(past.series)
    (found,) = simulate("-f", str(manifest), "--prometheus-url", server.url, "--since", "3h", "--namespace", "inplace")
    assert (found["version"], found["after"]["version"], found["outcome"]) == ("v2", "v1", "RolledBack")


def test_a_history_that_ends_early_leaves_the_deployment_undecided(server: PrometheusServer, manifest: Path) -> None:
    past = Past()
    past.serve("reviews-v1", "v1", 170, 62, 0.001, namespace="short")
    past.serve("reviews-v2", "v2", 62, 60, 0.001, namespace="short")
    server.remember(past.series)
    (found,) = simulate("-f", str(manifest), "--prometheus-url", server.url, "--since", "3h", "--namespace", "short")
    assert found["outcome"] == "Unfinished"


def test_a_service_without_deployments_is_said_to_have_none(server: PrometheusServer, manifest: Path) -> None:
    arguments = ["simulate", "-f", str(manifest), "--prometheus-url", server.url, "--service", "ratings", "--since", "3h"]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout.strip()) == (0, "Deployments of shop/ratings in the last 3h00m: 0")


def test_the_table_says_when_and_why(server: PrometheusServer, manifest: Path) -> None:
    past = Past()
    past.serve("reviews-v1", "v1", 170, 60, 0.0, namespace="table")
    past.serve("reviews-v2", "v2", 60, 30, 0.3, namespace="table")
    server.remember(past.series)
    arguments = ["simulate", "-f", str(manifest), "--prometheus-url", server.url, "--since", "3h", "--namespace", "table"]
    result = CliRunner().invoke(app, arguments)
    day = datetime.fromtimestamp(past.now / 1000.0 - 3600, UTC).strftime("%Y-%m-%d")
    assert result.exit_code == 0, result.output
    assert "Deployments of table/reviews in the last 3h00m: 1" in result.stdout
    assert f"{day} " in result.stdout
    assert "reviews-v2 (v2)" in result.stdout
    assert "rolled back at 5 %" in result.stdout


def test_an_unreachable_prometheus_is_one_line(manifest: Path) -> None:
    result = CliRunner().invoke(app, ["simulate", "-f", str(manifest), "--prometheus-url", "http://127.0.0.1:9"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: Prometheus cannot be reached")
    assert result.stderr.count("\n") == 1
