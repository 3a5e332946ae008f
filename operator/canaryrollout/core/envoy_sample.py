"""Which Envoys to read: enough to bound how many may be stale, not all of them.

An acknowledgement is the proxy's own word, and reading an Envoy goes through the API server and a kubelet. So a sample is
read. Were more than a share p of N sidecars stale, that is at least D = floor(pN) + 1, then a simple random sample of k
without replacement would miss all of them with probability C(N - D, k) / C(N, k) (hypergeometric distribution, no success;
Feller, An Introduction to Probability Theory, vol. 1, II.6). k is the smallest number for which that is at most 1 - c. For
large N it approaches ln(1 - c) / ln(1 - p): 59 for p = 5 % and c = 95 %, the "rule of three" of quality control.

The gateways are read all: they are few and carry the traffic from outside. What is not random (an EnvoyFilter or a Sidecar
resource of one workload) hits all its pods alike, so workloads without a pod in the sample get one each, up to a limit. That
only adds to the random sample, whose bound stays.

"Random" is the order of a hash of the revision that was written and the proxy's name: nobody chooses it, it differs from
write to write, and a restarted operator reads the same Envoys.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from math import floor

from canaryrollout.core.snapshot import ProxyStatus

STALE_SHARE = 0.05
CONFIDENCE = 0.95
EXTRA_WORKLOADS = 30
"""So many workloads beyond the random sample get a pod read."""
GATEWAY = "router"


def sample_size(total: int, share: float = STALE_SHARE, confidence: float = CONFIDENCE) -> int:
    """How many of `total` must be fresh to exclude, with that confidence, that more than the share of them is stale."""
    stale = floor(share * total + 1e-9) + 1
    if stale > total:
        return 0
    missed = 1.0
    for drawn in range(total):
        missed *= max(0, total - stale - drawn) / (total - drawn)
        if missed <= 1.0 - confidence:
            return drawn + 1
    return total


@dataclass(frozen=True, slots=True)
class Sample:
    """The Envoys to read, and out of how many."""

    gateways: tuple[str, ...] = ()
    """"POD.NAMESPACE", all there are."""
    sidecars: tuple[str, ...] = ()
    of_sidecars: int = 0

    @property
    def proxies(self) -> tuple[str, ...]:
        """All to be read."""
        return (*self.gateways, *self.sidecars)


def choose(proxies: Iterable[ProxyStatus], seed: str) -> Sample:
    """The sample of the relevant proxies for one revision."""
    unique = {proxy.proxy: proxy for proxy in proxies}
    gateways = sorted(name for name, proxy in unique.items() if proxy.kind == GATEWAY)
    sidecars = sorted((name for name, proxy in unique.items() if proxy.kind != GATEWAY), key=lambda name: _order(seed, name))
    size = sample_size(len(sidecars))
    drawn, rest = sidecars[:size], sidecars[size:]
    covered = {unique[name].workload for name in drawn}
    extra: dict[str, str] = {}
    for name in rest:
        if (workload := unique[name].workload) not in covered and len(extra) < EXTRA_WORKLOADS:
            extra.setdefault(workload, name)
    return Sample(tuple(gateways), (*drawn, *extra.values()), len(sidecars))


def _order(seed: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
