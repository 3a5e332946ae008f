"""The judge of the sync proof: from what istiods and the API server say to who serves the expected configuration.

What istiod tells (source: pilot/pkg/xds/{debug,ads,delta,xdsgen,pushqueue}.go, checked with 1.31):

- /debug/syncz gives for each connection and type the nonces last sent and last acknowledged. A nonce begins with the push
  version, "RFC3339/N"; N only grows within one istiod process and means nothing to another.
- /debug/config_dump?proxyID= regenerates what the connection's *last begun push* contains, and is labelled with that push;
  it does not say that it was sent.
- "acked == sent" alone proves nothing: during debounce and queueing every proxy is in sync with its old configuration. A
  proxy that a push does not concern is skipped and keeps its older nonce for ever.

The argument. Let N be a push of one istiod whose configuration, and that of every later push, is the expected one
(core.sync_floor finds it). A proxy of that istiod serves it once it has acknowledged, with nothing newer outstanding in that
type, a nonce of a push >= N: every proxy whose configuration the change alters is pushed at N or in a later push into which
N was merged. N is looked for anew for each expectation, and an expectation names the revision since which its object has
asked for the same without a break (core.standing), so nothing that was learned before serves it.

Which proxies: what istiod generates depends on the namespace and labels (Sidecar resources, exportTo), so one dump for each
scope (namespace and workload) tells whether its proxies route the service. A running proxy that no istiod lists goes on
serving what it had: it is unknown, unless its scope is known not to matter.

Limit: with delta xDS a rejected cluster update is forgotten by istiod when the proxy later accepts another one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from canaryrollout.core.printable import printable
from canaryrollout.core.snapshot import Expectation, ProxyState, ProxyStatus, SyncReport

NONCE_UUID = 36
DETAIL_LIMIT = 300
KINDS = frozenset({"sidecar", "router"})
"""Proxy types with routes of their own; ztunnel has none, a waypoint's are inside its listeners."""

Split = tuple[tuple[str, str, int], ...]
"""Sorted (host, subset, weight) of one route."""


def push_number(version: str) -> int:
    """N of a push version "RFC3339/N"; -1 where there is none."""
    number = version.rpartition("/")[2]
    return int(number) if number.isdecimal() else -1


def nonce_push(nonce: str) -> int:
    """N of a nonce: a push version followed by a UUID; -1 for no nonce."""
    return push_number(nonce[:-NONCE_UUID])


@dataclass(frozen=True, slots=True)
class Watched:
    """One xDS type of one connection."""

    sent: str = ""
    acked: str = ""
    error: str = ""
    """The proxy's own text of its last NACK; empty once it has acknowledged again."""

    @property
    def settled(self) -> bool:
        """Whether what was sent last is acknowledged."""
        return self.sent == self.acked


_NOTHING = Watched()


@dataclass(frozen=True, slots=True)
class Connection:
    """A proxy as one istiod lists it. A proxy that is reconnecting may be listed twice."""

    proxy: str
    """POD.NAMESPACE."""
    kind: str
    """sidecar, router, waypoint, ztunnel."""
    watches: Mapping[str, Watched] = field(default_factory=dict)
    """By type: clusters, listeners, routes, endpoints, or the type's URL."""

    def watched(self, kind: str) -> Watched:
        """One type; empty where the proxy has not asked for it."""
        return self.watches.get(kind, _NOTHING)

    @property
    def newest(self) -> int:
        """The latest push that sent it configuration. Endpoints move too often to tell anything."""
        return max(nonce_push(self.watched(kind).sent) for kind in ("clusters", "listeners", "routes"))

    @property
    def handled(self) -> int:
        """A push that is over: one goroutine of istiod pushes to a connection and reads its acknowledgements."""
        return max((nonce_push(watch.acked) for watch in self.watches.values()), default=-1)

    @property
    def outstanding(self) -> bool:
        """Whether anything that was sent is not acknowledged."""
        return any(not watch.settled for watch in self.watches.values())

    @property
    def nonces(self) -> frozenset[str]:
        """All that was sent last."""
        return frozenset(watch.sent for watch in self.watches.values())


@dataclass(frozen=True, slots=True)
class Generated:
    """What istiod generates for a proxy that concerns one host and VirtualService."""

    push: int
    splits: frozenset[Split] = frozenset()
    """The splits of our VirtualService's routes to the host."""
    defaults: bool = False
    """Whether Istio's own default routes to the host are there (where no VirtualService applies)."""
    clusters: frozenset[tuple[int, str]] = frozenset()
    """(port, subset) of the host's clusters; subset "" is the whole service."""

    def has_subsets(self, subsets: Iterable[str]) -> bool:
        """Whether every port of the service has a cluster for each subset."""
        ports = {port for port, subset in self.clusters if not subset}
        return bool(ports) and all((port, subset) in self.clusters for port in ports for subset in subsets)


class Scope(StrEnum):
    """What is known of the proxies of one namespace and workload."""

    RELEVANT = "Relevant"
    """istiod was seen to generate for them from the objects in question."""
    AWAITED = "Awaited"
    """They are concerned, and istiod does not generate it for them yet."""
    IRRELEVANT = "Irrelevant"


def scope_state(expectation: Expectation, generated: Generated, kind: str, namespace: str) -> Scope:
    """Whether a proxy is concerned. What it generates may be of an earlier weight: routes keep coming from one VirtualService."""
    visible = not expectation.visible_in or namespace in expectation.visible_in
    if expectation.splits:
        awaited = kind == "sidecar" and expectation.sidecars and visible and generated.defaults
        concerned, found = bool(generated.splits) or awaited, bool(generated.splits) and not awaited
    else:
        concerned = found = bool(generated.clusters) and visible
    if not concerned:
        return Scope.IRRELEVANT
    return Scope.RELEVANT if found and generated.has_subsets(expectation.subsets) else Scope.AWAITED


def shows(expectation: Expectation, generated: Generated) -> bool:
    """Whether what is generated for a relevant proxy is exactly what is expected."""
    if not generated.has_subsets(expectation.subsets):
        return False
    return not expectation.splits or set(expectation.required) <= generated.splits <= set(expectation.splits)


def asked_kind(expectation: Expectation) -> str:
    """The type in which the expectation shows."""
    return "routes" if expectation.splits else "clusters"


@dataclass(frozen=True, slots=True)
class MeshPod:
    """A running pod with a proxy."""

    name: str
    namespace: str
    workload: str
    serving: bool = True
    """Whether its proxy may be carrying traffic though no istiod lists it."""

    @property
    def proxy(self) -> str:
        """istiod's id of its proxy."""
        return f"{self.name}.{self.namespace}"

    @property
    def scope(self) -> str:
        """What its generated configuration depends on."""
        return f"{self.namespace}/{self.workload}"


@dataclass(frozen=True, slots=True)
class IstiodView:
    """One istiod."""

    name: str
    connections: Mapping[str, tuple[Connection, ...]]
    """By scope; only of KINDS."""
    first: int | None = None
    """N: from this push on its configuration is known to be the expected one. None: not seen yet."""


def judge(
    expectation: Expectation,
    views: Iterable[IstiodView],
    scopes: Mapping[str, Scope],
    pods: Iterable[MeshPod],
    unlisted: Iterable[MeshPod],
    *,
    known: frozenset[str],
) -> SyncReport:
    """The report.

    `scopes` holds what is known of each "NAMESPACE/WORKLOAD", `pods` all that should have a proxy, `unlisted` those of them that
    no istiod lists; `known` are scopes found relevant earlier in this rollout.
    """
    found: dict[str, ProxyStatus] = {}
    present = {pod.scope for pod in pods}
    generated = True
    for view in views:
        present |= view.connections.keys()
        for name, members in view.connections.items():
            scope = scopes.get(name)
            if scope is Scope.IRRELEVANT:
                continue
            generated = generated and scope is Scope.RELEVANT and view.first is not None
            for connection in members:
                status = replace(_status(expectation, view, connection, scope), kind=connection.kind, workload=name)
                found[connection.proxy] = min(status, found.get(connection.proxy, status), key=lambda entry: _SEVERITY[entry.state])
    for pod in unlisted:
        if pod.serving and scopes.get(pod.scope) is not Scope.IRRELEVANT:
            found[pod.proxy] = ProxyStatus(pod.proxy, ProxyState.UNKNOWN, "", NOT_CONNECTED, workload=pod.scope)
    relevant = {name for name in present if scopes.get(name, Scope.IRRELEVANT) is not Scope.IRRELEVANT}
    relevant |= {name for name in known & present if name not in scopes}
    return SyncReport(expectation, generated, tuple(found[proxy] for proxy in sorted(found)), frozenset(relevant))


NOT_CONNECTED = "not connected to any istiod; it keeps serving its last configuration"

_SEVERITY = {ProxyState.REJECTED: 0, ProxyState.DIFFERS: 1, ProxyState.UNKNOWN: 2, ProxyState.PENDING: 3, ProxyState.SYNCED: 4}
"""A proxy listed twice is moving from one connection to another: the worse one counts."""


def _status(expectation: Expectation, view: IstiodView, connection: Connection, scope: Scope | None) -> ProxyStatus:
    def is_(state: ProxyState, detail: str = "") -> ProxyStatus:
        return ProxyStatus(connection.proxy, state, view.name, detail)

    for kind in ("routes", "clusters"):
        if (watch := connection.watched(kind)).error and not watch.settled:
            return is_(ProxyState.REJECTED, f"rejected the {kind}: {nack_reason(watch.error)}"[:DETAIL_LIMIT])
    if scope is not Scope.RELEVANT or view.first is None:
        return is_(ProxyState.PENDING, "istiod does not generate the expected configuration for it yet")
    asked = connection.watched(asked_kind(expectation))
    if not asked.sent:
        return is_(ProxyState.PENDING, f"has not asked for {asked_kind(expectation)} yet")
    if not asked.settled or not connection.watched("clusters").settled:
        return is_(ProxyState.PENDING, "sent, not acknowledged")
    if nonce_push(asked.acked) < view.first:
        return is_(ProxyState.PENDING, f"acknowledged push {nonce_push(asked.acked)}, {view.first} is needed")
    return is_(ProxyState.SYNCED)


def nack_reason(error: str) -> str:
    """The reason in a NACK's text. Envoy puts it last, after a dump of the whole resource over many lines."""
    last = error.strip().rpartition("\n")[2]
    return printable(last.removeprefix(":") if last.startswith(":") else error)
