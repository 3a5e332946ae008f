"""Metrics by name, and the endpoints that serve them."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from canaryrollout.core.guards import ROLLBACK_REASONS
from canaryrollout.telemetry import Check, LoopLag, Metrics, RolloutView, Server, liveness_checks
from prometheus_client import generate_latest

VIEW = RolloutView("reviews", "v2", "v1", "Analysing", 10, 2, {"errors": 3.5})


def exposition(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def series(metrics: Metrics, name: str) -> list[str]:
    return re.findall(rf"^{name}(?:{{.*}})? .*$", exposition(metrics), re.MULTILINE)


@pytest.mark.parametrize(
    "name",
    [
        "canaryrollout_info",
        "canaryrollout_weight",
        "canaryrollout_step",
        "canaryrollout_phase",
        "canaryrollout_duration_seconds",
        "canaryrollout_rollbacks_total",
        "canaryrollout_analysis_evidence",
        "canaryrollout_given_way",
        "canaryrollout_foreign_changes_total",
        "canaryrollout_sync_seconds",
        "canaryrollout_reconcile_total",
        "canaryrollout_reconcile_errors_total",
        "canaryrollout_reconcile_time_seconds",
        "canaryrollout_workqueue_depth",
        "canaryrollout_prometheus_queries_total",
    ],
)
def test_the_documented_metrics_exist_and_are_explained(name: str) -> None:
    assert re.search(rf"^# HELP {name} \S", exposition(Metrics()), re.MULTILINE)


def test_a_rollout_is_shown_with_its_values() -> None:
    metrics = Metrics()
    metrics.show("bookinfo", "reviews", VIEW)
    info = 'canaryrollout_info{name="reviews",namespace="bookinfo",service="reviews",stable_version="v1",version="v2"} 1.0'
    assert series(metrics, "canaryrollout_info") == [info]
    assert series(metrics, "canaryrollout_weight") == ['canaryrollout_weight{name="reviews",namespace="bookinfo"} 10.0']
    assert series(metrics, "canaryrollout_step") == ['canaryrollout_step{name="reviews",namespace="bookinfo"} 2.0']
    evidence = 'canaryrollout_analysis_evidence{name="reviews",namespace="bookinfo",test="errors"} 3.5'
    assert series(metrics, "canaryrollout_analysis_evidence") == [evidence]


def test_only_the_present_phase_version_and_tests_are_shown() -> None:
    metrics = Metrics()
    metrics.show("bookinfo", "reviews", VIEW)
    metrics.show("bookinfo", "reviews", replace(VIEW, phase="Stable", stable_version="v2", evidence={}))
    assert ['phase="Stable"' in line for line in series(metrics, "canaryrollout_phase")] == [True]
    assert ['stable_version="v2"' in line for line in series(metrics, "canaryrollout_info")] == [True]
    assert series(metrics, "canaryrollout_analysis_evidence") == []


def test_a_reason_to_leave_the_routing_alone_is_shown_while_it_holds() -> None:
    metrics = Metrics()
    for reason in ("DriftConflict", "TakenOver"):
        metrics.show("bookinfo", "reviews", replace(VIEW, given_way=reason))
        shown = f'canaryrollout_given_way{{name="reviews",namespace="bookinfo",reason="{reason}"}} 1.0'
        assert series(metrics, "canaryrollout_given_way") == [shown]
    metrics.show("bookinfo", "reviews", VIEW)
    assert series(metrics, "canaryrollout_given_way") == []


def test_foreign_changes_are_counted_from_zero_on() -> None:
    """A counter that appears with its first change has not increased, as Prometheus sees it."""
    metrics = Metrics()
    metrics.show("bookinfo", "reviews", VIEW)
    shown = 'canaryrollout_foreign_changes_total{name="reviews",namespace="bookinfo"}'
    assert series(metrics, "canaryrollout_foreign_changes_total") == [f"{shown} 0.0"]
    metrics.foreign_changes.labels("bookinfo", "reviews").inc()
    metrics.show("bookinfo", "reviews", replace(VIEW, weight=50))
    assert series(metrics, "canaryrollout_foreign_changes_total") == [f"{shown} 1.0"]


def test_a_forgotten_rollout_leaves_no_gauges() -> None:
    metrics = Metrics()
    metrics.show("bookinfo", "reviews", replace(VIEW, given_way="TakenOver"))
    metrics.forget("bookinfo", "reviews")
    metrics.forget("bookinfo", "never-seen")
    assert 'name="reviews"' not in exposition(metrics)


def test_a_forgotten_rollout_leaves_no_counters() -> None:
    metrics = Metrics()
    for name in ("reviews", "ratings"):
        metrics.show("bookinfo", name, VIEW)
        metrics.rolled_back("bookinfo", name, "ErrorRate")
        metrics.rolled_back("bookinfo", name, "ErrorRate")
        metrics.rolled_back("bookinfo", name, "OfAnotherOperator")
    metrics.forget("bookinfo", "reviews")
    assert 'name="reviews"' not in exposition(metrics)
    assert [line for line in series(metrics, "canaryrollout_rollbacks_total") if not line.endswith(" 0.0")] == [
        'canaryrollout_rollbacks_total{name="ratings",namespace="bookinfo",reason="ErrorRate"} 2.0',
        'canaryrollout_rollbacks_total{name="ratings",namespace="bookinfo",reason="OfAnotherOperator"} 1.0',
    ]


def test_rollbacks_are_counted_from_zero_on_for_every_reason() -> None:
    metrics = Metrics()
    metrics.show("bookinfo", "reviews", VIEW)
    shown = set(series(metrics, "canaryrollout_rollbacks_total"))
    assert shown == {
        f'canaryrollout_rollbacks_total{{name="reviews",namespace="bookinfo",reason="{reason}"}} 0.0' for reason in ROLLBACK_REASONS
    }
    metrics.rolled_back("bookinfo", "reviews", "Superseded")
    metrics.show("bookinfo", "reviews", replace(VIEW, phase="RollingBack"))
    assert len(set(series(metrics, "canaryrollout_rollbacks_total")) - shown) == 1


def test_durations_are_counted_from_zero_on_for_every_outcome_while_the_namespace_has_rollouts() -> None:
    metrics = Metrics()
    metrics.show("bookinfo", "reviews", VIEW)
    metrics.show("bookinfo", "ratings", VIEW)
    assert series(metrics, "canaryrollout_duration_seconds_count") == [
        f'canaryrollout_duration_seconds_count{{namespace="bookinfo",outcome="{outcome}"}} 0.0'
        for outcome in ("Promoted", "RolledBack", "Superseded", "Reverted")
    ]
    metrics.duration.labels("bookinfo", "Reverted").observe(5.0)
    metrics.forget("bookinfo", "ratings")
    assert len(series(metrics, "canaryrollout_duration_seconds_count")) == 4
    metrics.forget("bookinfo", "reviews")
    assert series(metrics, "canaryrollout_duration_seconds_count") == []


def test_queries_to_prometheus_are_counted_from_zero_on() -> None:
    assert series(Metrics(), "canaryrollout_prometheus_queries_total") == [
        'canaryrollout_prometheus_queries_total{result="success"} 0.0',
        'canaryrollout_prometheus_queries_total{result="error"} 0.0',
    ]


def test_two_instances_do_not_share_values() -> None:
    first, second = Metrics(), Metrics()
    first.workqueue_depth.set(3)
    assert series(second, "canaryrollout_workqueue_depth") == ["canaryrollout_workqueue_depth 0.0"]


class Endpoints:
    """A running server with values that tests change."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ages: dict[str, float | None] = {"lag": 0.0, "watch": 1.0, "queue": None}
        self.waiting = ""

    async def get(self, port: int, path: str, **headers: str) -> tuple[int, str, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}", headers=headers) as response:
            return response.status, await response.text(), response.headers["Content-Type"]

    async def health(self, path: str) -> tuple[int, str]:
        status, text, _ = await self.get(self.server.health_port, path)
        return status, text


@pytest.fixture
async def endpoints() -> AsyncIterator[Endpoints]:
    metrics = Metrics()
    metrics.show("bookinfo", "reviews", VIEW)
    holder: list[Endpoints] = []
    liveness = liveness_checks(
        lambda: holder[0].ages["lag"], lambda: holder[0].ages["watch"], lambda: holder[0].ages["queue"], watch_limit=120.0
    )
    server = Server(
        address="127.0.0.1", health_port=0, metrics_port=0, metrics=metrics, liveness=liveness, readiness=lambda: holder[0].waiting
    )
    holder.append(Endpoints(server))
    await server.start()
    yield holder[0]
    await server.stop()


async def test_a_process_that_moves_is_alive(endpoints: Endpoints) -> None:
    status, text = await endpoints.health("/healthz")
    assert status == 200
    assert "age of the oldest queue item: not applicable" in text


@pytest.mark.parametrize(
    ("what", "value", "named"),
    [("lag", 11.0, "event loop lag"), ("watch", 121.0, "lag of the watch"), ("queue", 301.0, "oldest queue item")],
)
async def test_a_process_that_is_stuck_is_not_alive(endpoints: Endpoints, what: str, value: float, named: str) -> None:
    endpoints.ages[what] = value
    status, text = await endpoints.health("/healthz")
    assert status == 503
    assert [named in line for line in text.splitlines() if line.startswith("failed")] == [True]


async def test_readiness_names_what_is_waited_for(endpoints: Endpoints) -> None:
    assert await endpoints.health("/readyz") == (200, "ready\n")
    endpoints.waiting = "the first list of CanaryRollouts"
    assert await endpoints.health("/readyz") == (503, "waiting for the first list of CanaryRollouts\n")


async def test_metrics_are_served_on_their_own_port_only(endpoints: Endpoints) -> None:
    status, text, content_type = await endpoints.get(endpoints.server.metrics_port, "/metrics")
    assert status == 200
    assert 'canaryrollout_weight{name="reviews",namespace="bookinfo"} 10.0' in text
    assert content_type.startswith("text/plain")
    assert (await endpoints.health("/metrics"))[0] == 404


async def test_openmetrics_is_served_to_those_who_ask(endpoints: Endpoints) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    _, text, content_type = await endpoints.get(endpoints.server.metrics_port, "/metrics", **accept)
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


async def test_one_port_can_serve_everything(unused_tcp_port: int) -> None:
    server = Server(
        address="127.0.0.1",
        health_port=unused_tcp_port,
        metrics_port=unused_tcp_port,
        metrics=Metrics(),
        liveness=(),
        readiness=lambda: "",
    )
    await server.start()
    try:
        endpoints = Endpoints(server)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await endpoints.get(server.health_port, path))[0] == 200
    finally:
        await server.stop()


async def test_a_blocked_loop_is_seen_as_lag() -> None:
    lag = LoopLag(interval=0.01)
    await lag.start()
    await asyncio.sleep(0.05)
    time.sleep(0.3)  # noqa: ASYNC251 - blocking the loop is the point
    await asyncio.sleep(0.05)
    await lag.stop()
    assert lag() > 0.2


def test_a_check_at_its_limit_holds() -> None:
    assert Check("x", lambda: 5.0, 5.0).result()[0]
    assert not Check("x", lambda: 5.1, 5.0).result()[0]
