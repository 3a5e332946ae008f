"""A small istiod: pushes, their queue, acknowledgements, and the cache that dumps read and write (see core.sync_floor).

It follows pilot/pkg/xds and pilot/pkg/model/typed_xds_cache.go where it matters for proofs: a proxy's label is that of the last
push begun for it, pushes that wait are merged, one loop per connection pushes and reads acknowledgements, and what a dump
generates goes into the cache as if it were new.
"""

from dataclasses import dataclass, field

from canaryrollout.core.sync import Connection, Generated, Watched

OLD, NEW = (
    frozenset({(("reviews.shop.svc.cluster.local", "v1", 100),)}),
    frozenset({(("reviews.shop.svc.cluster.local", "v1", 90), ("reviews.shop.svc.cluster.local", "v2", 10))}),
)
CLUSTERS = frozenset({(80, ""), (80, "v1"), (80, "v2")})
SLOWEST = 2.0
"""Seconds that the model takes at most to generate and send what it began."""

Splits = frozenset[tuple[tuple[str, str, int], ...]]


def nonce(push: int) -> str:
    """As istiod writes it."""
    return f"2026-01-01T00:00:00Z/{push}" + f"{push:036d}"


@dataclass
class Proxy:
    """One connection and the Envoy behind it."""

    name: str
    label: int
    sent: Splits = OLD
    applied: Splits = OLD
    pending: frozenset[str] = frozenset()
    pending_push: int = 0
    working: frozenset[str] | None = None
    working_push: int = 0
    working_since: float = 0.0
    stopped: bool = False
    watches: dict[str, Watched] = field(default_factory=dict)

    def connection(self) -> Connection:
        """As syncz shows it."""
        return Connection(self.name, "sidecar", dict(self.watches))


class Istiod:
    """Pushes are numbered from 1; the proxies are connected at push 1."""

    def __init__(self, proxies: int) -> None:
        self.now = 100.0
        self.push_number = 1
        self.store: Splits = OLD
        self.contexts: dict[int, Splits] = {1: OLD}
        self.events: frozenset[str] = frozenset()
        self.cache: Splits | None = OLD
        self.cleared_at_push = 0
        self.proxies = [Proxy(f"client-{index}-aaaaa.shop", 1) for index in range(proxies)]
        for proxy in self.proxies:
            self._respond(proxy, 1)

    def write(self) -> None:
        """The new weights reach istiod's store; a push will follow."""
        if self.store != NEW:
            self.store, self.events = NEW, self.events | {"routes"}

    def push(self, kind: str) -> None:
        """Start a push: `routes` concerns everyone's routes, `other` nobody's, `endpoints` bypasses the debounce."""
        self.push_number += 1
        self.contexts[self.push_number] = self.store
        changes = frozenset({kind})
        if kind != "endpoints":
            changes, self.events = changes | self.events, frozenset()
        if "routes" in changes:
            self.cache, self.cleared_at_push = None, self.push_number
        for proxy in self.proxies:
            proxy.pending |= changes
            proxy.pending_push = self.push_number

    def begin(self, proxy: Proxy) -> None:
        """Its loop takes the waiting push."""
        if proxy.working is None and proxy.pending:
            proxy.working, proxy.working_push, proxy.working_since = proxy.pending, proxy.pending_push, self.now
            proxy.pending = frozenset()
            if proxy.working != {"endpoints"}:
                proxy.label = proxy.working_push

    def finish(self, proxy: Proxy) -> None:
        """Generate and send."""
        if proxy.working is None:
            return
        if "routes" in proxy.working:
            self._send(proxy, "routes", proxy.working_push)
            proxy.sent = self._generate(proxy.label, keep=proxy.working_push >= self.cleared_at_push)
        if "endpoints" in proxy.working:
            self._send(proxy, "endpoints", proxy.working_push)
        proxy.working = None

    def acknowledge(self, proxy: Proxy) -> None:
        """The Envoy applies what it got; its loop in istiod reads the answer only between pushes."""
        if not proxy.stopped and proxy.working is None:
            proxy.applied = proxy.sent
            proxy.watches = {kind: Watched(watch.sent, watch.sent) for kind, watch in proxy.watches.items()}

    def reconnect(self, proxy: Proxy) -> None:
        """A new connection gets everything at the newest push."""
        if not proxy.stopped:
            proxy.label, proxy.pending, proxy.working = self.push_number, frozenset(), None
            proxy.sent = self._generate(proxy.label, keep=False)
            proxy.applied = proxy.sent
            self._respond(proxy, self.push_number)

    def dump(self, proxy: Proxy) -> Generated:
        """config_dump: generated from the last begun push, unless the cache knows better, and cached as if it were new."""
        return Generated(proxy.label, self._generate(proxy.label, keep=True), defaults=False, clusters=CLUSTERS)

    def tick(self, seconds: float) -> None:
        """Time passes; nothing takes longer than SLOWEST to be sent once begun."""
        self.now += seconds
        for proxy in self.proxies:
            if proxy.working is not None and self.now - proxy.working_since > SLOWEST:
                self.finish(proxy)

    def drain(self) -> None:
        """Everything gets done, by everyone."""
        if self.events:
            self.push("other")
        for proxy in self.proxies:
            proxy.stopped = False
            for _ in range(2):
                self.finish(proxy)
                self.begin(proxy)
            self.finish(proxy)
            self.acknowledge(proxy)

    def _generate(self, push: int, *, keep: bool) -> Splits:
        if self.cache is not None:
            return self.cache
        if keep:
            self.cache = self.contexts[push]
        return self.contexts[push]

    def _send(self, proxy: Proxy, kind: str, push: int) -> None:
        proxy.watches[kind] = Watched(nonce(push), proxy.watches[kind].acked)

    def _respond(self, proxy: Proxy, push: int) -> None:
        proxy.watches = {kind: Watched(nonce(push), nonce(push)) for kind in ("clusters", "listeners", "routes", "endpoints")}
