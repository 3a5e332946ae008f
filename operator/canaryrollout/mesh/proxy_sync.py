"""Asking every istiod until the expectation is proved. The reasoning is core.sync and core.sync_floor; this does the asking."""

import asyncio
import time
from dataclasses import dataclass, field

from canaryrollout.core.snapshot import Expectation, SyncReport
from canaryrollout.core.sync import Connection, Generated, IstiodView, Scope, asked_kind, judge, scope_state, shows
from canaryrollout.core.sync_floor import PATIENCE_LIMIT, PATIENCE_SECONDS, Floor
from canaryrollout.kube.client import KubeClient
from canaryrollout.mesh.inventory import Census, Inventory, Listed
from canaryrollout.mesh.istiod import Istiod, IstiodClient, IstiodError
from canaryrollout.settings import IstioSettings

EAGER_SECONDS = 3.0
"""So long after a question was first put it is asked again and again within one call."""
CALL_SECONDS = 0.5
"""How long one call may go on asking."""
PAUSE_SECONDS = 0.05
STEADY_SECONDS = 1.0
"""How old istiod's answers may be for a question that was answered with "in sync" before."""
SCOPES_AT_ONCE = 8
SCOPE_SECONDS = 600.0
"""How long it is remembered whether a scope is concerned."""
MEMORY_SECONDS = 900.0
"""After so long without a question the memory of a host is dropped."""


@dataclass(slots=True)
class _Examined:
    """The last dump for a proxy of a scope."""

    generated: Generated
    kind: str
    istiod: Istiod
    at: float
    newest: int
    """What the examined proxy had been sent by then."""
    patience: float


@dataclass(slots=True)
class _Memory:
    """What was learned about one host and VirtualService. Losing it costs time, never soundness."""

    expectation: Expectation
    put_at: float
    asked_at: float
    in_sync: bool = False
    floors: dict[Istiod, Floor] = field(default_factory=dict)
    scopes: dict[str, _Examined] = field(default_factory=dict)


class IstiodSyncProver:
    """A mesh.router.SyncProver. One instance serves all rollouts."""

    def __init__(self, kube: KubeClient, settings: IstioSettings, namespaces: tuple[str, ...] = ()) -> None:
        """`namespaces`: where pods may be read; empty means everywhere."""
        self._client = IstiodClient(kube, settings)
        self._inventory = Inventory(kube, self._client, namespaces)
        self._memories: dict[tuple[str, str, str], _Memory] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def prove(self, expectation: Expectation, workloads: frozenset[str]) -> SyncReport:
        """See SyncProver. Goes on asking for CALL_SECONDS while an answer may come soon."""
        memory = self._memory(expectation)
        until = time.monotonic() + CALL_SECONDS
        while True:
            started = time.monotonic()
            report = await self._ask(memory, workloads)
            memory.in_sync = report.in_sync
            now = time.monotonic()
            pause = max(PAUSE_SECONDS, 2 * (now - started))
            soon = now - memory.put_at < EAGER_SECONDS and report.problem is None
            if report.in_sync or not soon or now + pause > until:
                return report
            await asyncio.sleep(pause)

    def _memory(self, expectation: Expectation) -> _Memory:
        """The memory of this expectation; of an earlier one for the same host and the same names only the scopes are kept."""
        now = time.monotonic()
        self._memories = {key: memory for key, memory in self._memories.items() if now - memory.asked_at < MEMORY_SECONDS}
        key = (expectation.namespace, expectation.host, expectation.virtual_service)
        memory = self._memories.get(key)
        if memory is None or memory.expectation != expectation:
            kept = memory.scopes if memory is not None and memory.expectation.sources == expectation.sources else {}
            memory = self._memories[key] = _Memory(expectation, now, now, scopes=kept)
        memory.asked_at = now
        return memory

    async def _ask(self, memory: _Memory, workloads: frozenset[str]) -> SyncReport:
        expectation = memory.expectation
        try:
            census = await self._inventory.census(STEADY_SECONDS if memory.in_sync else 0.0)
            memory.floors = {listed.istiod: memory.floors.get(listed.istiod) or _start(listed) for listed in census.listed}
            await asyncio.gather(*(self._learn(memory, listed) for listed in census.listed))
        except IstiodError as error:
            return SyncReport(expectation, generated=False, workloads=workloads, problem=error.problem)
        return self._judge(memory, census, workloads)

    def _judge(self, memory: _Memory, census: Census, workloads: frozenset[str]) -> SyncReport:
        scopes = {scope: _state(memory, scope, examined) for scope, examined in memory.scopes.items()}
        views = []
        kind = asked_kind(memory.expectation)
        for listed in census.listed:
            floor = memory.floors[listed.istiod]
            relevant = [c for scope, members in listed.by_scope.items() if scopes.get(scope) is Scope.RELEVANT for c in members]
            concerned = [c for scope, members in listed.by_scope.items() if scopes.get(scope) is not Scope.IRRELEVANT for c in members]
            floor = memory.floors[listed.istiod] = floor.seen(concerned, relevant, kind, listed.at)
            views.append(IstiodView(listed.istiod.name, listed.by_scope, floor.first))
        report = judge(memory.expectation, views, scopes, census.pods, census.unlisted, known=workloads)
        return report if census.problem is None else _with_problem(report, census)

    async def _learn(self, memory: _Memory, listed: Listed) -> None:
        """Look at what one istiod generates, for as few proxies as possible and only when it does no harm (core.sync_floor)."""
        now = time.monotonic()
        wanted = self._scopes_to_examine(memory, listed, now)
        results = await asyncio.gather(*(self._examine(memory, listed, scope, connection) for scope, connection in wanted.items()))
        following = [generated for generated, state in filter(None, results) if state is Scope.RELEVANT]
        awaited = [generated for generated, state in filter(None, results) if state is Scope.AWAITED]
        if dumps := [(generated.push, shows(memory.expectation, generated)) for generated in following] or [
            (g.push, False) for g in awaited
        ]:
            memory.floors[listed.istiod] = memory.floors[listed.istiod].looked(dumps, time.monotonic())
        doubtful = memory.floors[listed.istiod].wants(now)
        if doubtful is not None:
            await self._examine_doubtful(memory, listed, doubtful)

    def _scopes_to_examine(self, memory: _Memory, listed: Listed, now: float) -> dict[str, Connection]:
        """The scopes whose state is open, and where N is, one concerned scope to find it by; with a proxy to represent each."""
        floor, kind = memory.floors[listed.istiod], asked_kind(memory.expectation)
        wanted: dict[str, Connection] = {}
        witness: tuple[str, Connection] | None = None
        for scope, members in listed.by_scope.items():
            representative = _representative(members, listed.connections, kind)
            if representative is None or not floor.may_look(representative, kind, now):
                continue
            examined = memory.scopes.get(scope)
            if examined is not None and _state(memory, scope, examined) is Scope.RELEVANT:
                newer = witness is None or representative.newest > witness[1].newest
                witness = (scope, representative) if newer else witness
            elif examined is None or _due(memory, scope, examined, representative, now):
                wanted[scope] = representative
            if len(wanted) == SCOPES_AT_ONCE:
                break
        if witness is not None and floor.candidate is None:
            wanted[witness[0]] = witness[1]
        return wanted

    async def _examine(self, memory: _Memory, listed: Listed, scope: str, connection: Connection) -> tuple[Generated, Scope] | None:
        """Dump for one proxy, and remember it for its scope; None if it has left."""
        generated = await self._client.generated(listed.istiod, connection.proxy, memory.expectation)
        if generated is None:
            return None
        before = memory.scopes.get(scope)
        patience = min(2 * before.patience, PATIENCE_LIMIT) if before else PATIENCE_SECONDS
        examined = _Examined(generated, connection.kind, listed.istiod, time.monotonic(), connection.newest, patience)
        memory.scopes[scope] = examined
        return generated, _state(memory, scope, examined)

    async def _examine_doubtful(self, memory: _Memory, listed: Listed, proxy: str) -> None:
        connection = next((c for c in listed.connections if c.proxy == proxy), None)
        generated = await self._client.generated(listed.istiod, proxy, memory.expectation) if connection else None
        if connection is None or generated is None:
            return
        now, floor = time.monotonic(), memory.floors[listed.istiod]
        state = scope_state(memory.expectation, generated, connection.kind, proxy.rpartition(".")[2])
        if state is Scope.RELEVANT:
            shown = shows(memory.expectation, generated)
            memory.floors[listed.istiod] = floor.examined(generated.push, connection.nonces, shown=shown, now=now)
            return
        # Its scope may not be concerned any more: a representative has to tell.
        memory.floors[listed.istiod] = floor.postponed(now)
        memory.scopes.pop(next(scope for scope, members in listed.by_scope.items() if connection in members), None)


def _with_problem(report: SyncReport, census: Census) -> SyncReport:
    return SyncReport(report.expectation, report.generated, report.proxies, report.workloads, census.problem)


def _start(listed: Listed) -> Floor:
    return Floor.start(listed.connections, listed.at)


def _state(memory: _Memory, scope: str, examined: _Examined) -> Scope:
    """What the last dump for a scope says about the expectation."""
    state = scope_state(memory.expectation, examined.generated, examined.kind, scope.partition("/")[0])
    floor = memory.floors.get(examined.istiod)
    if state is Scope.AWAITED and memory.expectation.splits and not examined.generated.splits and floor is not None:
        # That istiod generates the VirtualService for others at this push, and none of it here: it is hidden from this scope.
        hidden = floor.first is not None and examined.generated.push >= floor.first
        return Scope.IRRELEVANT if hidden else state
    return state


def _due(memory: _Memory, scope: str, examined: _Examined, representative: Connection, now: float) -> bool:
    """Whether to examine a scope again: awaited and pushed since, or remembered for long."""
    if _state(memory, scope, examined) is Scope.IRRELEVANT:
        return now - examined.at >= SCOPE_SECONDS
    return representative.newest > examined.newest or now - examined.at >= examined.patience


def _representative(members: tuple[Connection, ...], connections: tuple[Connection, ...], kind: str) -> Connection | None:
    """The member that was served last and that istiod will not mistake for another.

    istiod finds a proxy by *substring* of "POD.NAMESPACE-NUMBER": "db-0.shop" would also be found as "mydb-0.shop".
    """
    asked = [member for member in members if member.watched(kind).sent] or list(members)
    for member in sorted(asked, key=lambda member: (-member.newest, member.proxy)):
        if not any(member.proxy in other.proxy and member.proxy != other.proxy for other in connections):
            return member
    return None
