"""The composition root: settings in, a running operator out. The only place where parts are wired together."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import kopf
import structlog

from canaryrollout import __version__, logs
from canaryrollout.controller import handlers
from canaryrollout.controller.cache import Directory
from canaryrollout.controller.cluster import MetricLookup
from canaryrollout.controller.effects import Effects
from canaryrollout.controller.lease import LeaseElector
from canaryrollout.controller.observe import Observer
from canaryrollout.controller.reconciler import Key, Reconciler
from canaryrollout.controller.recorder import Recorder
from canaryrollout.controller.revisions import Revisions
from canaryrollout.controller.surroundings import SurroundingsReader
from canaryrollout.controller.workqueue import WorkQueue
from canaryrollout.core.machine import MachineSettings
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.config import ConfigError, load_configuration
from canaryrollout.kube.errors import ApiError
from canaryrollout.kube.resources import CANARYROLLOUTS
from canaryrollout.mesh.envoy_verify import EnvoyVerifier
from canaryrollout.mesh.proxy_sync import IstiodSyncProver
from canaryrollout.metrics.custom import TemplatesError, read_templates, resolve
from canaryrollout.metrics.endpoint import COMPLETE_ANSWERS, PrometheusEndpoint
from canaryrollout.metrics.istio import IstioPrometheus, Sampling
from canaryrollout.metrics.prometheus import PrometheusClient
from canaryrollout.settings import MetricsSettings, PrometheusSettings, Settings
from canaryrollout.telemetry import LoopLag, Metrics, Server, liveness_checks

WATCH_LAG_LIMIT = 600.0
"""Seconds after which the process counts as stuck while a list shows what the watch has not brought."""

log = structlog.get_logger(__name__)


class Readiness:
    """What the process still waits for."""

    def __init__(self) -> None:
        self.missing = "the API server"

    def __call__(self) -> str:
        return self.missing


def run(settings: Settings, kubeconfig: Path | None, context: str | None) -> int:
    """Run until a signal or the loss of the Lease; the process's exit code."""
    logs.configure(settings.log.level, settings.log.format)
    try:
        return asyncio.run(_main(settings, kubeconfig, context))
    except ConfigError as error:
        log.error("no cluster to work on", error=str(error))  # noqa: TRY400 - the message says it all
        return 2
    except TemplatesError as error:
        log.error("the templates of metrics cannot be used", error=str(error))  # noqa: TRY400 - the message says it all
        return 2


async def _main(settings: Settings, kubeconfig: Path | None, context: str | None) -> int:
    log.info("starting", version=__version__, identity=settings.identity, namespaces=list(settings.watch_namespaces) or "all")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    async with await KubeClient.load(kubeconfig, context) as kube:
        operator = OperatorProcess(settings, kube, stop, _login(kubeconfig, context))
        return await operator.run()


class OperatorProcess:
    """The parts of one operator process and the order in which they start and stop."""

    def __init__(self, settings: Settings, kube: KubeClient, stop: asyncio.Event, login: Any) -> None:
        """`login` is how kopf gets at the API server."""
        self._settings = settings
        self._kube = kube
        self._stop = stop
        self._login = login
        self._readiness = Readiness()
        self._lag = LoopLag()
        self._metrics = Metrics()
        self._watch_lag = handlers.WatchLag()
        self._directory = Directory()
        machine = _machine_settings(settings)
        self._istiods = IstiodSyncProver(kube, settings.istio, namespaces=settings.namespaces_with_proxies)
        self._prover = prover = EnvoyVerifier(kube, self._istiods, settings.istio.proxy_admin_port)
        self._prometheus = PrometheusClient(_endpoint(settings.prometheus), self._count_query)
        provider = IstioPrometheus(
            self._prometheus,
            Sampling(slice_length=settings.prometheus.poll_interval, scrape_interval=settings.prometheus.scrape_interval),
        )
        around = SurroundingsReader(kube, settings.istio.root_namespace, settings.namespaces_with_proxies)
        self._revisions = Revisions()
        observer = Observer(
            kube, prover, provider, machine, _metric_lookup(settings.metrics), surroundings=around, revisions=self._revisions
        )
        effects = Effects(kube, Recorder(kube, settings.identity))
        reconciler = Reconciler(kube, observer, effects, machine, self._metrics)
        self._queue: WorkQueue[Key] = WorkQueue(reconciler.reconcile)
        self._metrics.workqueue_depth.set_function(self._queue.depth)

    def _count_query(self, succeeded: bool) -> None:
        self._metrics.prometheus_queries.labels("success" if succeeded else "error").inc()

    async def run(self) -> int:
        """Serve health at once, wait for the Lease, work until told to stop."""
        async with self._serving():
            if not self._settings.leader_election:
                self._metrics.leader.set(1)
                return await self._work()
            return await self._lead()

    async def _lead(self) -> int:
        elector = _elector(self._kube, self._settings)
        self._readiness.missing = ""  # a standby is ready to take over
        acquire = asyncio.create_task(elector.acquire())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({acquire, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not acquire.done():
            acquire.cancel()
            return 0
        acquire.result()
        log.info("leading", lease=self._settings.lease.name)
        self._metrics.leader.set(1)
        holding = asyncio.create_task(elector.hold())
        holding.add_done_callback(lambda _: self._stop.set())
        try:
            code = await self._work()
        finally:  # also where the watches fail: another one need not wait for the Lease to expire
            held = not holding.done()
            if held:
                holding.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await holding
                await self._queue.stop()
                await elector.release()
        if not held:
            log.error("lease lost, this process ends", error=str(holding.exception()))
            return 1
        return code

    async def _work(self) -> int:
        """kopf watches, the queue works; both end with the stop event."""
        self._readiness.missing = "the first watch"
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        kopf.on.startup(registry=registry)(self._started)
        kopf.on.cleanup(registry=registry)(self._cleaned)
        handlers.register(registry, self._queue, self._directory, self._watch_lag, self._revisions)
        settings = kopf.OperatorSettings()
        namespaces = self._settings.watch_namespaces
        handlers.configure(settings, namespaced=bool(namespaces))
        await kopf.operator(
            registry=registry, settings=settings, standalone=True, stop_flag=self._stop, clusterwide=not namespaces, namespaces=namespaces
        )
        return 0

    async def _started(self, **_: object) -> None:
        # Tasks that exist before kopf's own are not cancelled by it; those made here end in _cleaned.
        await self._queue.start()
        self._resync = asyncio.create_task(self._resync_forever(), name="resync")
        self._readiness.missing = ""

    async def _cleaned(self, **_: object) -> None:
        self._resync.cancel()
        await self._queue.stop()

    async def _resync_forever(self) -> None:
        """A watch can miss a deletion and a hint: list everything from time to time."""
        while True:
            await asyncio.sleep(self._settings.resync_interval)
            try:
                keys = await self._listed()
            except ApiError as error:
                log.warning("resync failed", error=str(error))
                continue
            for key in [*self._directory.retain(keys), *keys]:
                await self._queue.add(key)

    async def _listed(self) -> list[Key]:
        asked, revisions = time.monotonic(), {}
        for namespace in self._settings.watch_namespaces or (None,):
            for item in await self._kube.list(CANARYROLLOUTS, namespace):
                key = Key(item["metadata"]["namespace"], item["metadata"]["name"])
                self._directory.put(key, str(item.get("spec", {}).get("service", "")))
                revisions[key] = str(item["metadata"]["resourceVersion"])
        self._watch_lag.listed(revisions, asked)
        return [*revisions]

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        server = Server(
            address=self._settings.server.address,
            health_port=self._settings.server.health_port,
            metrics_port=self._settings.server.metrics_port,
            metrics=self._metrics,
            liveness=liveness_checks(self._lag, self._watch_lag, self._queue.oldest_wait, watch_limit=WATCH_LAG_LIMIT),
            readiness=self._readiness,
        )
        await self._lag.start()
        await server.start()
        try:
            yield
        finally:
            await server.stop()
            await self._lag.stop()
            await self._prometheus.close()
            await self._prover.close()
            await self._istiods.close()


def _login(kubeconfig: Path | None, context: str | None) -> Any:
    """How kopf logs in: to the same API server and with the same credentials as our own client, which are read anew each time."""

    async def login(**_: object) -> kopf.ConnectionInfo:
        found = await load_configuration(kubeconfig, context)
        return kopf.ConnectionInfo(
            server=found.host,
            ca_path=found.ssl_ca_cert or None,
            insecure=not found.verify_ssl,
            certificate_path=found.cert_file or None,
            private_key_path=found.key_file or None,
            token=str(found.api_key.get("BearerToken", "")).rpartition(" ")[2] or None,  # "Bearer TOKEN"
            proxy_url=found.proxy or None,
        )

    return login


def _machine_settings(settings: Settings) -> MachineSettings:
    return MachineSettings(
        cluster_domain=settings.cluster_domain,
        takeover_managers=settings.takeover_managers,
        poll_interval=settings.prometheus.poll_interval,
        settle=settings.prometheus.scrape_interval,
    )


def _metric_lookup(settings: MetricsSettings) -> MetricLookup:
    """Raises TemplatesError."""
    return partial(resolve, templates=read_templates(settings.templates_file), allow_custom=settings.allow_custom_queries)


def _endpoint(settings: PrometheusSettings) -> PrometheusEndpoint:
    password = settings.basic_auth_password_file
    basic_auth = (settings.basic_auth_user, password) if password is not None else None
    return PrometheusEndpoint(
        url=settings.url,
        headers=settings.headers,
        bearer_token_file=settings.bearer_token_file,
        basic_auth=basic_auth,
        ca_file=settings.ca_file,
        client_cert_file=settings.client_cert_file,
        client_key_file=settings.client_key_file,
        parameters={**COMPLETE_ANSWERS, **settings.parameters},
        timeout=settings.timeout,
    )


def _elector(kube: KubeClient, settings: Settings) -> LeaseElector:
    lease = settings.lease
    return LeaseElector(
        kube,
        namespace=lease.namespace,
        name=lease.name,
        identity=settings.identity,
        duration=lease.duration,
        renew_deadline=lease.renew_deadline,
        retry_period=lease.retry_period,
    )
