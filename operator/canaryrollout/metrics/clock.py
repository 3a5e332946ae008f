"""Prometheus's time, by which everything is counted."""

import asyncio
import math
import time as clock

from canaryrollout.metrics.prometheus import PrometheusClient

_VALID_SECONDS = 60.0


class PrometheusClock:
    """Prometheus's time between two looks at it, by the local monotonic clock; never ahead of the real one."""

    def __init__(self, client: PrometheusClient) -> None:
        self._client = client
        self._prometheus = 0
        self._local = -math.inf
        self._asking: asyncio.Task[None] | None = None

    async def now(self) -> int:
        """Milliseconds. All who ask while one answer is awaited share it. Raises PrometheusError."""
        if clock.monotonic() - self._local > _VALID_SECONDS:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
        return self._prometheus + int((clock.monotonic() - self._local) * 1000.0)

    async def _ask(self) -> None:
        self._prometheus = await self._client.now()
        self._local = clock.monotonic()
