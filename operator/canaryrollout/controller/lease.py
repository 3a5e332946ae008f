"""Leader election on a coordination.k8s.io/v1 Lease: one operator works, the others stand by.

The algorithm is client-go's (tools/leaderelection): a record counts as expired when *we* have not seen it change for its
duration by our own monotonic clock, so that clocks of different machines are never compared. Every write carries the
resourceVersion it was read at. The Lease only keeps two operators from working against each other for long; that a stale
leader does no harm is ensured by the resourceVersion of every status write that precedes a mesh write.
"""

import asyncio
import math
import time
from datetime import UTC, datetime
from typing import Any

import structlog

from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import ApiError, Conflict
from canaryrollout.kube.resources import LEASES

log = structlog.get_logger(__name__)

Object = dict[str, Any]


class LeaseLost(Exception):
    """The Lease could not be renewed in time, or another process holds it; whoever led must end."""


class LeaseElector:
    """One candidate. Times are in seconds; `retry_period` is shorter than `renew_deadline`, and that than `duration`."""

    def __init__(
        self,
        kube: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration = duration
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._record: Object | None = None
        self._changed_at = 0.0
        self._renewed_at = 0.0

    async def acquire(self) -> None:
        """Return once this process holds the Lease. Outages of the API server are waited out."""
        told = ""
        while True:
            try:
                if await self._try():
                    return
                if (holder := self._holder()) and holder != told:
                    log.info("standing by", lease=f"{self._namespace}/{self._name}", holder=holder)
                    told = holder
            except ApiError as error:
                log.warning("lease not reached, nothing is done without it", lease=f"{self._namespace}/{self._name}", error=str(error))
            await asyncio.sleep(self._retry_period)

    async def hold(self) -> None:
        """Renew for ever; raises LeaseLost when the Lease was not renewed within the deadline or is another's."""
        while True:
            await asyncio.sleep(min(self._retry_period, max(0.0, self._renewed_at + self._renew_deadline - time.monotonic())))
            try:
                async with asyncio.timeout(max(0.1, self._renewed_at + self._renew_deadline - time.monotonic())):
                    if await self._try():
                        continue
                    if self._holder() not in (self._identity, ""):
                        raise LeaseLost(f"Lease {self._namespace}/{self._name} is held by {self._holder()}")
            except (ApiError, TimeoutError) as error:
                log.warning("lease not renewed", lease=f"{self._namespace}/{self._name}", error=str(error) or "no answer in time")
            if time.monotonic() - self._renewed_at >= self._renew_deadline:
                raise LeaseLost(f"Lease {self._namespace}/{self._name} was not renewed within {self._renew_deadline:g} s")

    async def release(self) -> None:
        """Give the Lease back on a clean end, so that another takes over at once. Best effort."""
        try:
            await self._observe()
            if self._record is not None and self._holder() == self._identity:
                spec = {**self._record["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._now()}
                await self._kube.replace(LEASES, self._namespace, self._name, {**self._record, "spec": spec})
        except ApiError as error:
            log.warning("lease not released", error=str(error))

    async def _try(self) -> bool:
        """Take or renew the Lease if it is ours, free or expired; whether we hold it now."""
        await self._observe()
        # Others count from when the API server took our write, which is later than this and earlier than its answer.
        asked_at = time.monotonic()
        try:
            if self._record is None:
                self._saw(await self._kube.create(LEASES, self._namespace, self._new()))
                self._renewed_at = asked_at
                return True
            holder = self._holder()
            if holder not in ("", self._identity) and not self._expired():
                return False
            self._saw(await self._kube.replace(LEASES, self._namespace, self._name, self._taken(holder)))
        except Conflict:
            return False
        self._renewed_at = asked_at
        return True

    async def _observe(self) -> None:
        found = await self._kube.get(LEASES, self._namespace, self._name)
        if found is None:
            self._record = None
        elif self._record is None or found["metadata"]["resourceVersion"] != self._record["metadata"]["resourceVersion"]:
            self._saw(found)

    def _saw(self, record: Object) -> None:
        self._record = record
        self._changed_at = time.monotonic()

    def _holder(self) -> str:
        return str(((self._record or {}).get("spec") or {}).get("holderIdentity") or "")

    def _expired(self) -> bool:
        """By the holder's own duration, counted from when we saw its record change."""
        spec = (self._record or {}).get("spec") or {}
        return time.monotonic() - self._changed_at >= float(spec.get("leaseDurationSeconds") or self._duration)

    def _new(self) -> Object:
        now = self._now()
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._whole_duration(),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 0,
        }
        metadata = {"name": self._name, "namespace": self._namespace}
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}

    def _taken(self, holder: str) -> Object:
        record = self._record or {}
        spec = {**(record.get("spec") or {}), "renewTime": self._now(), "leaseDurationSeconds": self._whole_duration()}
        if holder != self._identity:
            spec |= {
                "holderIdentity": self._identity,
                "acquireTime": spec["renewTime"],
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1,
            }
        return {**record, "spec": spec}

    def _whole_duration(self) -> int:
        """The API takes whole seconds: up, or others could lead before we give up."""
        return math.ceil(self._duration)

    def _now(self) -> str:
        try:
            moment = self._kube.server_time()
        except LookupError:
            moment = time.time()
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
