"""Finding N: the push from which on one istiod's configuration is known to be the expected one (see core.sync).

Three things make this less simple than looking at /debug/config_dump until it shows the expected weights. All were read in
istiod's source; the first was reproduced on the local mesh: with dumps requested all the time, all eight sidecars of a
namespace kept the old weights after 17 of 60 changes, acknowledged and for good.

1. Looking changes what is seen. A dump generates from the connection's last begun push but stamps its results with the
   present time when it puts them into istiod's cache. A dump of a proxy that still waits for a push therefore puts the *old*
   routes there, and the proxies pushed next get them. So nothing is dumped while a push may be on its way: after a write we
   wait until a proxy's own nonces have moved (the debounce then keeps the next push at a distance), and only where nothing
   moves for a while (a configuration that was there before) do we look all the same; and we look seldom. Should a dump
   nevertheless show the old configuration after N was found, N is void: the proxies may be getting that.
2. A dump may show more than its label says: the cache may hold routes of a newer push for which this connection still waits.
   So a label alone is no N. What was cached was generated for some other proxy that is concerned and is sent it at once, so
   a moment later N is at most the newest push that any of them was sent, or the label if that is newer.
3. N found like this may be too new: unrelated pushes raise the label and merge with ours, and proxies they do not concern
   keep older nonces that are good enough. A relevant proxy lowers N to its own last push once it has certainly been through
   N: istiod reads acknowledgements in the goroutine that pushes, so an acknowledged nonce of *any* type of a push >= N says
   that N is over for this proxy. Where there is none, its own dump must show the expected configuration at a push V >= N and
   V must be over: a later dump carries a later label, or nothing is outstanding and nothing moved for QUIET_SECONDS (gRPC does
   not block the first message after an acknowledged one, so only istiod's own computing could take longer). With a label
   below N it may wait in istiod's queue, for which QUEUE_SECONDS are given. A restarted operator gets its proof this way.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from canaryrollout.core.sync import Connection, nonce_push

PATIENCE_SECONDS = 1.5
"""How long to wait for a push before looking whether the configuration was there before; doubled each time."""
PATIENCE_LIMIT = 12.0
CONFIRM_SECONDS = 0.15
"""How long what istiod generated for one proxy may take to show among its nonces."""
DOUBT_SECONDS = 0.5
"""How soon a proxy with older nonces is looked at; doubled each time."""
QUIET_SECONDS = 5.0
QUEUE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """A proxy that acknowledged everything, but nothing as new as N."""

    proxy: str
    look_at: float
    patience: float = DOUBT_SECONDS
    label: int | None = None
    """The push at which its own dump showed the expected configuration; None: not shown yet."""
    labelled_at: float = 0.0
    nonces: frozenset[str] = frozenset()
    """What it had been sent before that dump."""
    over_at: float | None = None
    """When a dump with a later label showed that the push is over."""

    def resolved(self, first: int, connection: Connection, now: float) -> bool:
        """Whether N is over for the proxy by what was read at `now`."""
        if connection.handled >= first:
            return True
        if self.label is None:
            return False
        quiet = now - self.labelled_at if connection.nonces == self.nonces else 0.0
        if self.label < first:
            return quiet >= QUEUE_SECONDS
        return quiet >= QUIET_SECONDS or (self.over_at is not None and now > self.over_at)


@dataclass(frozen=True, slots=True)
class Floor:
    """What is known about N on one istiod for one expectation. Times are local and monotonic."""

    began: int
    """The newest push that was there before the question."""
    began_at: float
    baseline: int
    """`began`, or a later push that did not show the answer."""
    look_at: float
    """When to look although nothing moved."""
    patience: float = PATIENCE_SECONDS
    candidate: int | None = None
    """The label of a dump that showed the expected configuration."""
    candidate_at: float = 0.0
    first: int | None = None
    doubt: Doubt | None = None

    @classmethod
    def start(cls, connections: Iterable[Connection], now: float) -> "Floor":
        """Before anything is known."""
        began = newest(connections)
        return cls(began, now, began, now + PATIENCE_SECONDS)

    def may_look(self, connection: Connection, kind: str, now: float) -> bool:
        """Whether a dump for this proxy promises something new and does no harm."""
        return nonce_push(connection.watched(kind).sent) > self.baseline or now >= self.look_at

    def looked(self, dumps: Iterable[tuple[int, bool]], now: float) -> "Floor":
        """After dumps for proxies that are concerned: each one's push and whether it showed the expected configuration."""
        dumps = list(dumps)
        if all(shown for _, shown in dumps):
            found = replace(self, candidate=min(push for push, _ in dumps), candidate_at=now)
            return found if self.candidate is None else self
        patience = min(2 * self.patience, PATIENCE_LIMIT)
        baseline = max((self.baseline, *(push for push, _ in dumps)))
        void = replace(self, baseline=baseline, look_at=now + patience, patience=patience)
        return replace(void, candidate=None, first=None, doubt=None)

    def seen(self, concerned: Iterable[Connection], relevant: Iterable[Connection], kind: str, now: float) -> "Floor":
        """After reading the nonces: find N from the candidate, and lower it where proxies turn out to be good with less.

        `concerned` are all connections but those known not to be, `relevant` those of scopes that were seen to follow.
        """
        if self.candidate is None or (self.first is None and now - self.candidate_at < CONFIRM_SECONDS):
            return self
        floor = self if self.first is not None else replace(self, first=max(self.candidate, newest(concerned)))
        return floor._doubting([c for c in relevant if c.watched(kind).sent and not c.outstanding], kind, now)

    def _doubting(self, settled: list[Connection], kind: str, now: float) -> "Floor":
        """Settle the doubt about the proxy with the oldest nonce below N, or begin one."""
        behind = [connection for connection in settled if nonce_push(connection.watched(kind).acked) < (self.first or 0)]
        if not behind:
            return replace(self, doubt=None)
        oldest = min(behind, key=lambda connection: (nonce_push(connection.watched(kind).acked), connection.proxy))
        doubt = self.doubt if self.doubt is not None and self.doubt.proxy == oldest.proxy else None
        if (doubt or Doubt(oldest.proxy, now)).resolved(self.first or 0, oldest, now):
            return replace(self, first=nonce_push(oldest.watched(kind).acked), doubt=None)
        if doubt is None:
            # One that stayed behind while others moved probably waits for its push.
            waits = nonce_push(oldest.watched(kind).sent) <= self.began < newest(settled)
            return replace(self, doubt=Doubt(oldest.proxy, max(now + DOUBT_SECONDS, self.began_at + QUIET_SECONDS if waits else 0.0)))
        return self

    def wants(self, now: float) -> str | None:
        """The doubtful proxy to look at now."""
        doubt = self.doubt
        return doubt.proxy if doubt is not None and doubt.over_at is None and now >= doubt.look_at else None

    def examined(self, label: int, nonces: frozenset[str], *, shown: bool, now: float) -> "Floor":
        """After a dump of the doubtful proxy; `nonces` as read before it."""
        doubt = self.postponed(now).doubt
        if doubt is None or self.first is None:
            return self
        if not shown:
            return self.looked([(label, False)], now)
        if doubt.label is None or doubt.nonces != nonces or doubt.label < self.first <= label:
            doubt = replace(doubt, label=label, labelled_at=now, nonces=nonces)
        elif self.first <= doubt.label < label:
            doubt = replace(doubt, over_at=now)
        return replace(self, doubt=doubt)

    def postponed(self, now: float) -> "Floor":
        """Look at the doubtful proxy again, but not soon."""
        if self.doubt is None:
            return self
        patience = min(2 * self.doubt.patience, PATIENCE_LIMIT)
        return replace(self, doubt=replace(self.doubt, look_at=now + patience, patience=patience))


def newest(connections: Iterable[Connection]) -> int:
    """The newest push that any of the connections was sent."""
    return max((connection.newest for connection in connections), default=-1)
