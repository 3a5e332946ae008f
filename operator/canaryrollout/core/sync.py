"""The judge of the sync proof: from what istiods and the API server say to who serves the expected configuration.

What istiod tells (source: pilot/pkg/xds/{debug,ads,xdsgen}.go, checked with 1.31):

- /debug/syncz gives for each connected proxy and type the nonces last sent and last acknowledged. A nonce begins with the
  push version, "RFC3339/N"; N only grows within one istiod process and means nothing to another.
- /debug/config_dump?proxyID= regenerates, and labels with that push's version, what the proxy's *last processed push*
  contains; it does not say that it was sent.
- "acked == sent" alone proves nothing: during debounce and queueing every proxy is in sync with its old configuration. A
  proxy that a push does not concern is skipped and keeps its older nonce for ever.

The argument. Let N be a push in which istiod is seen to generate the expected configuration for a proxy's scope
(namespace and workload). Then a proxy of that scope serves it

1. if it has acknowledged, without anything newer outstanding, a nonce of push >= N: it was generated from that state; or
2. if its own dump showed the expected configuration at push V and later again at a push after V. One connection handles its
   pushes in order, so all of V was sent when the later one began; whatever V skipped had not changed; or
3. if its own dump shows the expected configuration, nothing at all is outstanding, and neither its push version nor any of
   its nonces moved for QUIET_SECONDS: istiod sends what it generates for one proxy without such a pause. This covers a proof
   begun long after the push (an operator that restarted, a configuration that was there before).

An expectation names the revision of the object it was read from, so nothing learned about one revision serves another. A
running proxy that no istiod lists is unknown: it goes on serving what it had.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from canaryrollout.core.snapshot import Expectation, ProxyState, ProxyStatus, SyncReport

QUIET_SECONDS = 5.0

NONCE_UUID = 36
DETAIL_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Watched:
    """One xDS type of one connection."""

    sent: str = ""
    acked: str = ""
    error: str = ""
    """The proxy's own text of its last NACK; empty once it has acknowledged again."""

    @property
    def push(self) -> int:
        """N of the acknowledged nonce; -1 where nothing was acknowledged."""
        return push_number(self.acked[:-NONCE_UUID]) if self.acked else -1

    @property
    def settled(self) -> bool:
        """Whether what was sent last is acknowledged."""
        return self.sent == self.acked


def push_number(version: str) -> int:
    """N of a push version "RFC3339/N"; -1 where there is none."""
    number = version.rpartition("/")[2]
    return int(number) if number.isdigit() else -1


@dataclass(frozen=True, slots=True)
class Connection:
    """A proxy as one istiod lists it."""

    proxy: str
    """POD.NAMESPACE."""
    kind: str
    """sidecar, router, waypoint, ztunnel."""
    clusters: Watched
    routes: Watched
    nonces: tuple[tuple[str, str, str], ...] = ()
    """(type, sent, acked) of every type, to tell whether anything is outstanding or moves."""

    @property
    def outstanding(self) -> bool:
        """Whether anything that was sent is not acknowledged."""
        return any(sent != acked for _, sent, acked in self.nonces)


@dataclass(frozen=True, slots=True)
class Generated:
    """What istiod generates for a proxy, compared with the expectation."""

    push: int
    relevant: bool
    expected: bool


@dataclass(frozen=True, slots=True)
class MeshPod:
    """A running pod with a proxy."""

    name: str
    namespace: str
    workload: str
    ready: bool

    @property
    def proxy(self) -> str:
        """istiod's id of its proxy."""
        return f"{self.name}.{self.namespace}"

    @property
    def scope(self) -> str:
        """What its generated configuration depends on: Sidecar resources and exportTo select by namespace and labels."""
        return f"{self.namespace}/{self.workload}"


@dataclass(frozen=True, slots=True)
class IstiodView:
    """One istiod: its connections, and what it generates."""

    name: str
    connections: Mapping[str, Connection]
    first: Mapping[str, int] = field(default_factory=dict)
    """By scope: the first push in which the expected configuration was seen generated."""
    irrelevant: frozenset[str] = frozenset()
    """Scopes for which it generates nothing that routes the service."""
    proved: frozenset[str] = frozenset()
    """Proxies that satisfy rule 2 or 3."""


def watched(expectation: Expectation, connection: Connection) -> Watched:
    """The type in which the expectation shows: routes for splits, else clusters."""
    return connection.routes if expectation.splits else connection.clusters


def state_of(expectation: Expectation, view: IstiodView, connection: Connection, scope: str) -> ProxyStatus:
    """How far one connected, relevant proxy is."""
    types = (("routes", connection.routes), ("clusters", connection.clusters))
    rejected = next(((name, t) for name, t in types if t.error and not t.settled), None)
    if rejected is not None:
        name, nack = rejected
        detail = f"rejected the {name}: {' '.join(nack.error.split())}"[:DETAIL_LIMIT]
        return ProxyStatus(connection.proxy, ProxyState.REJECTED, view.name, detail)
    first = view.first.get(scope)
    if first is None:
        return _pending(connection, view, "istiod does not generate the configuration for it yet")
    asked = watched(expectation, connection)
    if not asked.settled or (expectation.splits and not connection.clusters.settled):
        return _pending(connection, view, "sent, not acknowledged")
    if asked.push >= first or connection.proxy in view.proved:
        return ProxyStatus(connection.proxy, ProxyState.SYNCED, view.name)
    return _pending(connection, view, f"its last acknowledged push is {asked.push}, needed is {first}")


def _pending(connection: Connection, view: IstiodView, detail: str) -> ProxyStatus:
    return ProxyStatus(connection.proxy, ProxyState.PENDING, view.name, detail)


def judge(expectation: Expectation, views: Iterable[IstiodView], pods: Iterable[MeshPod], known: frozenset[str]) -> SyncReport:
    """The report. `known` are scopes found relevant earlier in this rollout; a proxy of theirs that vanished is unknown."""
    views = list(views)
    by_proxy = {pod.proxy: pod for pod in pods}
    statuses: dict[str, ProxyStatus] = {}
    relevant: set[str] = set(known)
    disproved: set[str] = set()
    generated = True
    for view in views:
        disproved |= view.irrelevant
        for connection in view.connections.values():
            scope = scope_of(connection.proxy, by_proxy)
            if connection.kind not in ("sidecar", "router") or scope in view.irrelevant:
                continue
            relevant.add(scope)
            generated = generated and scope in view.first
            status = state_of(expectation, view, connection, scope)
            statuses[connection.proxy] = _later(statuses.get(connection.proxy), status)
    for pod in by_proxy.values():
        if pod.proxy not in statuses and pod.ready and pod.scope not in disproved - relevant and not _listed(pod.proxy, views):
            detail = "not connected to any istiod; it goes on serving its last configuration"
            statuses[pod.proxy] = ProxyStatus(pod.proxy, ProxyState.UNKNOWN, "", detail)
    ordered = tuple(statuses[name] for name in sorted(statuses))
    return SyncReport(expectation, generated, ordered, frozenset(relevant - disproved))


def _listed(proxy: str, views: Iterable[IstiodView]) -> bool:
    return any(proxy in view.connections for view in views)


def scope_of(proxy: str, pods: Mapping[str, MeshPod]) -> str:
    """The scope of a proxy; one whose pod is not visible stands for itself."""
    pod = pods.get(proxy)
    return pod.scope if pod else f"?/{proxy}"


def _later(old: ProxyStatus | None, new: ProxyStatus) -> ProxyStatus:
    """A proxy that two istiods list (it is moving) is in sync only if both say so."""
    if old is None or old.state is ProxyState.SYNCED:
        return new
    return old


Rule = Literal["own-later-push", "quiet"]
"""Which of the rules 2 and 3 proved a proxy."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What was seen of a proxy whose acknowledged nonce is older than the first expected push (rules 2 and 3)."""

    push: int
    since: float
    """Local monotonic time at which `push` and `nonces` were first seen together."""
    nonces: tuple[tuple[str, str, str], ...]
    proved: Rule | None = None


def observe_doubtful(before: Watch | None, generated: Generated, connection: Connection, now: float) -> Watch | None:
    """The next memory of a doubtful proxy; None where its own dump is not as expected. Call with nonces read after the dump."""
    if not generated.expected:
        return None
    if before is None:
        return Watch(generated.push, now, connection.nonces)
    if generated.push > before.push:
        return Watch(generated.push, now, connection.nonces, "own-later-push")
    if before.proved == "own-later-push":
        return before
    if connection.nonces != before.nonces or connection.outstanding:
        return Watch(generated.push, now, connection.nonces)
    quiet = now - before.since >= QUIET_SECONDS
    return Watch(before.push, before.since, before.nonces, "quiet" if quiet else None)
