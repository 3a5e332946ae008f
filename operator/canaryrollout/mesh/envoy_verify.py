"""Asking Envoys themselves, for rollouts that want more than acknowledgements (spec.sync.verify: envoy).

A prover around another one. Once that has its proof, a sample of the Envoys (core.envoy_sample) is read through their admin
interface. Reading happens beside the passes of the operator: a call waits for it only briefly, so that neither a slow API
server nor a frozen Envoy keeps a rollback from being written. An Envoy that was fresh for one revision is not read again
for it: what it gets later, it gets from an istiod whose proof is renewed with each call.
"""

import asyncio
import time
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from canaryrollout.core.envoy_sample import Sample, choose
from canaryrollout.core.envoy_verdict import Reading, verified
from canaryrollout.core.envoy_view import EnvoyView, Routes, clusters_of, difference
from canaryrollout.core.snapshot import Expectation, Problem, SyncReport
from canaryrollout.kube.client import KubeClient
from canaryrollout.mesh.config_dump import read_admin_clusters, read_admin_routes
from canaryrollout.mesh.portforward import ForwardDenied, ForwardError, PortForward
from canaryrollout.mesh.router import SyncProver

CALL_SECONDS = 0.5
"""How long one call waits for readings that are under way."""
READ_SECONDS = 5.0
"""How long one Envoy may take to answer."""
AGAIN_SECONDS = 0.5
"""How soon an Envoy that was not fresh is read again; doubled each time. A cluster warms up within milliseconds as a rule."""
AGAIN_LIMIT = 5.0
DENIED_SECONDS = 5.0
"""How soon a missing right is tried again."""
MEMORY_SECONDS = 900.0
ROUTES = "/config_dump?resource=dynamic_route_configs"


@dataclass(slots=True)
class _Attempt:
    """The last reading of one Envoy."""

    reading: Reading
    patience: float
    due: float
    """Monotonic time from which it may be read again, where it was not fresh."""


@dataclass(slots=True)
class _Memory:
    """What was read for one expectation. Losing it costs time, never soundness."""

    expectation: Expectation
    asked_at: float
    attempts: dict[str, _Attempt] = field(default_factory=dict)
    reading: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """What is being read now."""
    denied: tuple[float, Problem] | None = None
    """When (monotonic) and how the API server last refused."""

    def due(self, sample: Sample, now: float) -> list[str]:
        """The Envoys of the sample to begin to read now."""
        if self.denied is not None:
            if now < self.denied[0] + DENIED_SECONDS:
                return []
            self.denied = None
        attempts = ((proxy, self.attempts.get(proxy)) for proxy in sample.proxies if proxy not in self.reading)
        return [proxy for proxy, attempt in attempts if attempt is None or (not attempt.reading.fresh and now >= attempt.due)]

    def forget(self) -> None:
        """End what is being read."""
        for task in self.reading.values():
            task.cancel()


class EnvoyVerifier:
    """A mesh.router.SyncProver. One instance serves all rollouts."""

    def __init__(self, kube: KubeClient, prover: SyncProver, admin_port: int) -> None:
        self._prover = prover
        self._forward = PortForward(kube)
        self._admin_port = admin_port
        self._parsing = asyncio.Semaphore(1)  # a large route configuration takes many times its size while it is read
        self._memories: dict[tuple[str, str, str], _Memory] = {}

    async def close(self) -> None:
        """End what is being read."""
        tasks = [task for memory in self._memories.values() for task in memory.reading.values()]
        for memory in self._memories.values():
            memory.forget()
        self._memories = {}
        await asyncio.gather(*tasks, return_exceptions=True)

    async def prove(self, expectation: Expectation, workloads: frozenset[str]) -> SyncReport:
        """See SyncProver."""
        report = await self._prover.prove(replace(expectation, verify=False), workloads)
        report = replace(report, expectation=expectation)
        if not expectation.verify or not report.acknowledged:
            return report
        memory = self._memory(expectation)
        sample = choose(report.proxies, f"{expectation.namespace}/{expectation.host}@{expectation.revision}")
        await self._advance(memory, sample)
        if memory.denied is not None:
            return replace(report, problem=memory.denied[1])
        return verified(report, sample, {proxy: attempt.reading for proxy, attempt in memory.attempts.items()})

    def _memory(self, expectation: Expectation) -> _Memory:
        now = time.monotonic()
        for key, old in list(self._memories.items()):
            if now - old.asked_at >= MEMORY_SECONDS:
                self._memories.pop(key).forget()
        key = (expectation.namespace, expectation.host, expectation.virtual_service)
        memory = self._memories.get(key)
        if memory is None or memory.expectation != expectation:
            if memory is not None:
                memory.forget()
            memory = self._memories[key] = _Memory(expectation, now)
        memory.asked_at = now
        return memory

    async def _advance(self, memory: _Memory, sample: Sample) -> None:
        """Begin the readings that are due, and wait for all under way a little."""
        for proxy in memory.due(sample, time.monotonic()):
            memory.reading[proxy] = asyncio.create_task(self._read(memory, proxy), name=f"read Envoy of {proxy}")
        if memory.reading:
            await asyncio.wait(memory.reading.values(), timeout=CALL_SECONDS)

    async def _read(self, memory: _Memory, proxy: str) -> None:
        """Read one Envoy and remember the outcome."""
        try:
            view = await self._view(proxy, memory.expectation)
            reading = Reading(different=difference(memory.expectation, view))
        except ForwardDenied as error:
            memory.denied = time.monotonic(), _denied(error)
            return
        except ForwardError as error:
            reading = Reading(unreadable=str(error))
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            # Whatever a pod may answer, it is a fact about that pod.
            reading = Reading(unreadable=f"unexpected answer: {type(error).__name__}: {error}")
        finally:
            memory.reading.pop(proxy, None)
        before = memory.attempts.get(proxy)
        patience = min(2 * before.patience, AGAIN_LIMIT) if before is not None else AGAIN_SECONDS
        memory.attempts[proxy] = _Attempt(reading, patience, time.monotonic() + patience)

    async def _view(self, proxy: str, expectation: Expectation) -> EnvoyView:
        """What one Envoy says of the host. Raises ForwardError, ValueError."""
        pod, _, namespace = proxy.rpartition(".")
        paths = [_clusters(expectation.host), *([ROUTES] if expectation.splits else [])]
        clusters, *routes = await self._forward.get(namespace, pod, self._admin_port, paths, seconds=READ_SECONDS)
        async with self._parsing:
            return await asyncio.to_thread(_parsed, clusters, routes, expectation)


def _clusters(host: str) -> str:
    """The names of the host's active clusters. Envoy matches the expression (RE2) with the whole name."""
    name = quote(r"outbound\|.*\|" + host.replace(".", r"\."), safe="")
    return f"/config_dump?resource=dynamic_active_clusters&mask=cluster.name&name_regex={name}"


def _parsed(clusters: bytes, routes: list[bytes], expectation: Expectation) -> EnvoyView:
    """Off the event loop: answers can be large."""
    found = read_admin_routes(routes[0], expectation) if routes else Routes()
    return EnvoyView(found, clusters_of(read_admin_clusters(clusters), expectation.host))


def _denied(error: ForwardDenied) -> Problem:
    message = (
        f"spec.sync.verify is envoy, but {error}: install the chart with istio.verifyEnvoys=true (get and create on pods/portforward),"
        " or set spec.sync.verify to acknowledged"
    )
    return Problem("PortForwardDenied", message)
