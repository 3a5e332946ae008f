"""Asking every istiod until the expectation is proved; the judgement itself is core.sync."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from canaryrollout.core.snapshot import Expectation, Problem, SyncReport
from canaryrollout.core.sync import Connection, Generated, IstiodView, MeshPod, Watch, judge, observe_doubtful, scope_of, watched
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import ApiError
from canaryrollout.mesh.config_dump import compare
from canaryrollout.mesh.istiod import Istiod, IstiodClient, IstiodError
from canaryrollout.mesh.proxies import running_proxies
from canaryrollout.settings import IstioSettings

INVENTORY_SECONDS = 3.0
"""How long lists of pods are reused; connections are always read anew."""

DUMPS_AT_ONCE = 8
DOUBTFUL_PER_PASS = 32
MEMORY_SECONDS = 900.0
"""After so long without a question the memory of a host is dropped."""


@dataclass(slots=True)
class _Memory:
    """What was learned about one expectation. Losing it costs time, never soundness."""

    expectation: Expectation
    asked: float
    first: dict[tuple[str, str], int] = field(default_factory=dict)
    irrelevant: dict[tuple[str, str], float] = field(default_factory=dict)
    doubtful: dict[tuple[str, str], Watch] = field(default_factory=dict)
    connected: set[str] = field(default_factory=set)


class IstiodSyncProver:
    """A mesh.router.SyncProver. One instance serves all rollouts."""

    def __init__(self, kube: KubeClient, settings: IstioSettings, namespaces: tuple[str, ...] = ()) -> None:
        """`namespaces`: where pods may be read; empty means everywhere."""
        self._kube = kube
        self._istiod = IstiodClient(kube, settings)
        self._namespaces = namespaces
        self._memories: dict[tuple[str, str], _Memory] = {}
        self._inventory: tuple[float, list[MeshPod], list[Istiod]] | None = None
        self._lock = asyncio.Lock()
        self._dumps = asyncio.Semaphore(DUMPS_AT_ONCE)

    async def close(self) -> None:
        """Close all connections."""
        await self._istiod.close()

    async def prove(self, expectation: Expectation, workloads: frozenset[str]) -> SyncReport:
        """See SyncProver."""
        memory = self._memory(expectation)
        try:
            pods, istiods = await self._read_inventory()
            views = await asyncio.gather(*(self._view(istiod, memory, pods) for istiod in istiods))
        except IstiodError as error:
            self._inventory = None
            return SyncReport(expectation, generated=False, workloads=workloads, problem=error.problem)
        except ApiError as error:
            problem = Problem("ProxiesUnknown", f"the pods with proxies could not be listed: {error.message}")
            return SyncReport(expectation, generated=False, workloads=workloads, problem=problem)
        memory.connected |= {proxy for view in views for proxy in view.connections}
        expected = [pod for pod in pods if pod.ready or pod.proxy in memory.connected]
        present = [MeshPod(pod.name, pod.namespace, pod.workload, ready=True) for pod in expected]
        return judge(expectation, views, present, workloads)

    def _memory(self, expectation: Expectation) -> _Memory:
        """The memory of this expectation; what was learned about another one for the same host is dropped."""
        now = time.monotonic()
        self._memories = {key: m for key, m in self._memories.items() if now - m.asked < MEMORY_SECONDS}
        key = (expectation.host, expectation.virtual_service)
        memory = self._memories.get(key)
        if memory is None or memory.expectation != expectation:
            connected = memory.connected if memory else set()
            memory = self._memories[key] = _Memory(expectation, now, connected=connected)
        memory.asked = now
        return memory

    async def _read_inventory(self) -> tuple[list[MeshPod], list[Istiod]]:
        async with self._lock:
            now = time.monotonic()
            if self._inventory is None or now - self._inventory[0] > INVENTORY_SECONDS:
                pods, istiods = await asyncio.gather(running_proxies(self._kube, self._namespaces), self._istiod.discover())
                self._inventory = (now, pods, istiods)
            return self._inventory[1], self._inventory[2]

    async def _view(self, istiod: Istiod, memory: _Memory, pods: list[MeshPod]) -> IstiodView:
        """Dumps before the nonces that are judged by them; the order is part of the argument in core.sync."""
        connections = await self._istiod.connections(istiod)
        by_proxy = {pod.proxy: pod for pod in pods}
        asked = await self._learn(istiod, memory, connections, by_proxy)
        doubtful = self._doubtful(istiod, memory, connections, by_proxy)
        dumps = await self._compare(istiod, memory.expectation, doubtful)
        if asked or dumps:
            connections = await self._istiod.connections(istiod)
        self._remember_doubtful(istiod, memory, connections, dumps)
        return IstiodView(
            name=istiod.name,
            connections=connections,
            first={scope: push for (name, scope), push in memory.first.items() if name == istiod.name},
            irrelevant=frozenset(scope for name, scope in memory.irrelevant if name == istiod.name),
            proved=frozenset(proxy for (name, proxy), watch in memory.doubtful.items() if name == istiod.name and watch.proved is not None),
        )

    async def _learn(self, istiod: Istiod, memory: _Memory, connections: Mapping[str, Connection], pods: Mapping[str, MeshPod]) -> bool:
        """Dump one representative of every scope that is not settled yet; whether anything was asked."""
        representatives: dict[str, Connection] = {}
        for connection in connections.values():
            scope = scope_of(connection.proxy, pods)
            known = (istiod.name, scope) in memory.first or (istiod.name, scope) in memory.irrelevant
            if connection.kind in ("sidecar", "router") and not known and _unmistakable(connection.proxy, connections):
                representatives.setdefault(scope, connection)
        dumps = await self._compare(istiod, memory.expectation, representatives.values())
        for scope, connection in representatives.items():
            generated = dumps.get(connection.proxy)
            if generated is None:
                continue
            if not generated.relevant:
                memory.irrelevant[istiod.name, scope] = time.monotonic()
            elif generated.expected:
                memory.first[istiod.name, scope] = generated.push
        return bool(representatives)

    def _doubtful(
        self, istiod: Istiod, memory: _Memory, connections: Mapping[str, Connection], pods: Mapping[str, MeshPod]
    ) -> list[Connection]:
        """Proxies that acknowledged everything, but nothing as new as the first expected push."""
        found = []
        for connection in connections.values():
            first = memory.first.get((istiod.name, scope_of(connection.proxy, pods)))
            asked = watched(memory.expectation, connection)
            if first is not None and asked.settled and asked.push < first and _unmistakable(connection.proxy, connections):
                found.append(connection)
        return found[:DOUBTFUL_PER_PASS]

    def _remember_doubtful(
        self, istiod: Istiod, memory: _Memory, connections: Mapping[str, Connection], dumps: Mapping[str, Generated]
    ) -> None:
        now = time.monotonic()
        for proxy, generated in dumps.items():
            key = (istiod.name, proxy)
            connection = connections.get(proxy)
            watch = observe_doubtful(memory.doubtful.get(key), generated, connection, now) if connection else None
            if watch is None:
                memory.doubtful.pop(key, None)
            else:
                memory.doubtful[key] = watch

    async def _compare(self, istiod: Istiod, expectation: Expectation, wanted: Iterable[Connection]) -> dict[str, Generated]:
        """What the istiod generates for some proxies; those that left in between are missing."""

        async def one(connection: Connection) -> tuple[str, Generated] | None:
            async with self._dumps:
                dump = await self._istiod.config_dump(istiod, connection.proxy)
            if dump is None:
                return None
            namespace = connection.proxy.rpartition(".")[2]
            try:
                compared = await asyncio.to_thread(compare, dump, expectation, sidecar=connection.kind == "sidecar", namespace=namespace)
            except ValueError as error:
                raise IstiodError(Problem("IstiodAnswer", f"{istiod.name}: {error}")) from error
            return connection.proxy, compared

        results = await asyncio.gather(*(one(connection) for connection in wanted))
        return dict(result for result in results if result is not None)


def _unmistakable(proxy: str, connections: Mapping[str, Connection]) -> bool:
    """istiod finds a proxy by *substring* of its connections' ids: "db-0.shop" would also be found as "mydb-0.shop"."""
    return not any(proxy in other and proxy != other for other in connections)
