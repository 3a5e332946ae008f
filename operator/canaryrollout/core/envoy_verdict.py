"""The proof that goes beyond acknowledgement: from what was read of a sample of Envoys to the report."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from canaryrollout.core.envoy_sample import Sample
from canaryrollout.core.printable import printable
from canaryrollout.core.snapshot import EnvoysRead, ProxyState, ProxyStatus, SyncReport
from canaryrollout.core.sync import DETAIL_LIMIT

UNREAD = "acknowledged; its Envoy has not been read yet"


@dataclass(frozen=True, slots=True)
class Reading:
    """The outcome of reading one Envoy: as expected where both are empty."""

    different: str = ""
    """In what it deviates."""
    unreadable: str = ""
    """Why it could not be read."""

    @property
    def fresh(self) -> bool:
        """Whether it serves what is expected."""
        return not self.different and not self.unreadable


def verified(report: SyncReport, sample: Sample, readings: Mapping[str, Reading]) -> SyncReport:
    """The report of acknowledgements in the light of the readings; only a whole sample of fresh Envoys leaves it in sync."""
    sampled = frozenset(sample.proxies)
    proxies = tuple(_judged(proxy, readings.get(proxy.proxy)) if proxy.proxy in sampled else proxy for proxy in report.proxies)
    read = EnvoysRead(len(sample.gateways), len(sample.sidecars), sample.of_sidecars)
    return replace(report, proxies=proxies, envoys=read)


def _judged(proxy: ProxyStatus, reading: Reading | None) -> ProxyStatus:
    if reading is None:
        return replace(proxy, state=ProxyState.PENDING, detail=UNREAD)
    if reading.fresh:
        return proxy
    if reading.different:
        return replace(proxy, state=ProxyState.DIFFERS, detail=printable(f"acknowledged, but {reading.different}")[:DETAIL_LIMIT])
    detail = printable(f"acknowledged, but its Envoy's admin interface cannot be read: {reading.unreadable}")[:DETAIL_LIMIT]
    return replace(proxy, state=ProxyState.UNKNOWN, detail=detail)
