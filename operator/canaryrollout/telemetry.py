"""What the operator tells about itself: metrics on a registry of their own, and the HTTP endpoints that serve them.

/healthz proves that the process makes progress (the endpoints share the event loop, so a blocked loop answers nothing),
/readyz that it can do its work, /metrics is Prometheus' format.
"""

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from canaryrollout import __version__
from canaryrollout.api.status import Outcome
from canaryrollout.core.guards import ROLLBACK_REASONS

# Creation times would double the series, and Prometheus finds resets without them.
disable_created_metrics()  # type: ignore[no-untyped-call]

_ROLLOUT = ("namespace", "name")
_ROLLOUT_SECONDS = (30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)
_SYNC_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_RECONCILE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(frozen=True, slots=True)
class RolloutView:
    """What the gauges say about one CanaryRollout."""

    service: str
    version: str
    stable_version: str
    phase: str
    weight: int
    """Percent intended for the version on trial."""
    step: int
    """Counted from 1; 0 while no step is under way."""
    evidence: Mapping[str, float]
    """Evidence by test; what the numbers mean is the analysis' matter."""
    given_way: str = ""
    """Why the operator leaves the routing to others (DriftConflict, TakenOver); empty: it does not."""


class Metrics:
    """All metrics. Series of a rollout live from `show` to `forget`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Gauge("canaryrollout_build_info", "The operator's version.", ("version",), registry=registry)
        build.labels(__version__).set(1)
        labels = (*_ROLLOUT, "service", "version", "stable_version")
        self._info = Gauge("canaryrollout_info", "A CanaryRollout, its desired and its stable version.", labels, registry=registry)
        self._phase = Gauge("canaryrollout_phase", "1 for the phase that a CanaryRollout is in.", (*_ROLLOUT, "phase"), registry=registry)
        self._weight = Gauge("canaryrollout_weight", "Percent of traffic intended for the version on trial.", _ROLLOUT, registry=registry)
        self._step = Gauge("canaryrollout_step", "The step under way, counted from 1; 0 while none is.", _ROLLOUT, registry=registry)
        self._given_way = Gauge(
            "canaryrollout_given_way",
            "1 while the operator leaves the routing to others, by reason (DriftConflict, TakenOver).",
            (*_ROLLOUT, "reason"),
            registry=registry,
        )
        # Not by who did it: a field manager may be any text, and each would be a series for ever.
        self.foreign_changes = Counter(
            "canaryrollout_foreign_changes", "Changes of the operator's weights or subsets by others.", _ROLLOUT, registry=registry
        )
        self._evidence = Gauge("canaryrollout_analysis_evidence", "Evidence by test.", (*_ROLLOUT, "test"), registry=registry)
        self.duration = Histogram(
            "canaryrollout_duration_seconds",
            "How long rollouts took, by outcome.",
            ("namespace", "outcome"),
            buckets=_ROLLOUT_SECONDS,
            registry=registry,
        )
        self._rollbacks = Counter("canaryrollout_rollbacks", "Rollbacks by reason.", (*_ROLLOUT, "reason"), registry=registry)
        self.sync = Histogram(
            "canaryrollout_sync_seconds",
            "From a write to the mesh to the proof that every relevant proxy serves it.",
            buckets=_SYNC_SECONDS,
            registry=registry,
        )
        self.reconciles = Counter("canaryrollout_reconcile", "Reconcile passes.", registry=registry)
        self.reconcile_errors = Counter("canaryrollout_reconcile_errors", "Reconcile passes that ended in an error.", registry=registry)
        self.reconcile_time = Histogram(
            "canaryrollout_reconcile_time_seconds", "Duration of reconcile passes.", buckets=_RECONCILE_SECONDS, registry=registry
        )
        self.workqueue_depth = Gauge("canaryrollout_workqueue_depth", "CanaryRollouts that wait for a pass.", registry=registry)
        self.leader = Gauge("canaryrollout_leader", "1 while this process works: it holds the Lease, or needs none.", registry=registry)
        self.prometheus_queries = Counter(
            "canaryrollout_prometheus_queries", "Queries to Prometheus by result (success, error).", ("result",), registry=registry
        )
        for result in ("success", "error"):
            self.prometheus_queries.labels(result)
        self._shown: dict[tuple[str, str], RolloutView] = {}
        self._rolled_back: dict[tuple[str, str], set[str]] = defaultdict(set)

    def show(self, namespace: str, name: str, view: RolloutView) -> None:
        """Set the gauges of one rollout; series of earlier values that no longer hold are removed."""
        before = self._shown.get((namespace, name))
        if before == view:
            return
        if before is None:
            self._count_from_zero(namespace, name)
        else:
            self._remove_stale(namespace, name, before, view)
        self._shown[namespace, name] = view
        self._info.labels(namespace, name, view.service, view.version, view.stable_version).set(1)
        self._phase.labels(namespace, name, view.phase).set(1)
        self._weight.labels(namespace, name).set(view.weight)
        self._step.labels(namespace, name).set(view.step)
        if view.given_way:
            self._given_way.labels(namespace, name, view.given_way).set(1)
        for test, value in view.evidence.items():
            self._evidence.labels(namespace, name, test).set(value)

    def _count_from_zero(self, namespace: str, name: str) -> None:
        """Make the series that events will be counted in: increase() does not see an event that a series begins with."""
        self.foreign_changes.labels(namespace, name)
        for reason in sorted(ROLLBACK_REASONS):
            self._rollbacks.labels(namespace, name, reason)
        for outcome in get_args(Outcome):
            self.duration.labels(namespace, outcome)

    def rolled_back(self, namespace: str, name: str, reason: str) -> None:
        """Count a rollback."""
        self._rolled_back[namespace, name].add(reason)
        self._rollbacks.labels(namespace, name, reason).inc()

    def forget(self, namespace: str, name: str) -> None:
        """Remove the series of a rollout that is gone, and with the last one of a namespace those of the namespace."""
        view = self._shown.pop((namespace, name), None)
        if view is None:
            return
        for reason in ROLLBACK_REASONS | self._rolled_back.pop((namespace, name), set()):
            self._rollbacks.remove(namespace, name, reason)
        if all(other != namespace for other, _ in self._shown):
            for outcome in get_args(Outcome):
                self.duration.remove(namespace, outcome)
        self._remove_stale(namespace, name, view, None)
        self._weight.remove(namespace, name)
        self._step.remove(namespace, name)
        self.foreign_changes.remove(namespace, name)

    def _remove_stale(self, namespace: str, name: str, before: RolloutView, after: RolloutView | None) -> None:
        info = (before.service, before.version, before.stable_version)
        if after is None or info != (after.service, after.version, after.stable_version):
            self._info.remove(namespace, name, *info)
        if after is None or before.phase != after.phase:
            self._phase.remove(namespace, name, before.phase)
        if before.given_way and (after is None or before.given_way != after.given_way):
            self._given_way.remove(namespace, name, before.given_way)
        for test in before.evidence.keys() - (after.evidence.keys() if after else set()):
            self._evidence.remove(namespace, name, test)


class LoopLag:
    """How late the event loop runs its timers: the worst of the last minute, in seconds."""

    def __init__(self, interval: float = 0.5, window: float = 60.0) -> None:
        self._interval = interval
        self._lags: deque[float] = deque(maxlen=max(1, round(window / interval)))
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> float:
        return max(self._lags, default=0.0)

    async def start(self) -> None:
        """Begin to measure."""
        self._task = asyncio.create_task(self._measure(), name="loop-lag")

    async def stop(self) -> None:
        """Stop measuring."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _measure(self) -> None:
        while True:
            due = time.monotonic() + self._interval
            await asyncio.sleep(self._interval)
            self._lags.append(max(0.0, time.monotonic() - due))


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must not grow beyond a limit; `value` gives None while the question does not arise."""

    name: str
    value: Callable[[], float | None]
    limit: float

    def result(self) -> tuple[bool, str]:
        """Whether it holds, and a line that says why."""
        value = self.value()
        if value is None:
            return True, f"{self.name}: not applicable"
        return value <= self.limit, f"{self.name}: {value:.2f} s (limit {self.limit:g} s)"


def liveness_checks(
    loop_lag: Callable[[], float | None],
    watch_lag: Callable[[], float | None],
    oldest_queue_item: Callable[[], float | None],
    *,
    watch_limit: float,
) -> tuple[Check, ...]:
    """What /healthz proves. `watch_limit`: seconds within which a watch brings what a list shows."""
    return (
        Check("event loop lag", loop_lag, 10.0),
        Check("lag of the watch", watch_lag, watch_limit),
        Check("age of the oldest queue item", oldest_queue_item, 300.0),
    )


class Server:
    """Serves /healthz and /readyz on one port and /metrics on another, or all on one where the ports are equal."""

    def __init__(
        self,
        *,
        address: str,
        health_port: int,
        metrics_port: int,
        metrics: Metrics,
        liveness: tuple[Check, ...],
        readiness: Callable[[], str],
    ) -> None:
        """`readiness` gives what the process still waits for, "" once it is ready."""
        self._address = address
        self._metrics = metrics
        self._liveness = liveness
        self._readiness = readiness
        health = [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
        scrape = [web.get("/metrics", self._scrape)]
        together = health_port == metrics_port != 0
        self._plan = (
            {"health": (health_port, health + scrape)} if together else {"health": (health_port, health), "metrics": (metrics_port, scrape)}
        )
        self._runners: dict[str, web.AppRunner] = {}

    async def start(self) -> None:
        """Listen. Raises OSError when a port is taken."""
        for name, (port, routes) in self._plan.items():
            application = web.Application()
            application.add_routes(routes)
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            self._runners[name] = runner
            await web.TCPSite(runner, self._address, port).start()

    async def stop(self) -> None:
        """Close the listeners and what is connected to them."""
        for runner in self._runners.values():
            await runner.cleanup()
        self._runners.clear()

    @property
    def health_port(self) -> int:
        """The port in use, where 0 was asked for."""
        return int(self._runners["health"].addresses[0][1])

    @property
    def metrics_port(self) -> int:
        """The port in use, where 0 was asked for."""
        return int(self._runners.get("metrics", self._runners["health"]).addresses[0][1])

    async def _healthz(self, _request: web.Request) -> web.Response:
        results = [check.result() for check in self._liveness]
        text = "".join(("ok      " if good else "failed  ") + line + "\n" for good, line in results)
        return web.Response(text=text, status=200 if all(good for good, _ in results) else 503)

    async def _readyz(self, _request: web.Request) -> web.Response:
        waiting = self._readiness()
        return web.Response(text=f"waiting for {waiting}\n" if waiting else "ready\n", status=503 if waiting else 200)

    async def _scrape(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        # Thousands of series take a good part of a second: not on the event loop.
        body = await asyncio.to_thread(encode, self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": content_type})
