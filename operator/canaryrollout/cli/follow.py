"""Asking for a CanaryRollout once, or again and again until its rollout has ended."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from canaryrollout.cli.exits import Exit
from canaryrollout.cli.view import View
from canaryrollout.cli.visible import visible
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import Unavailable
from canaryrollout.kube.resources import CANARYROLLOUTS

INTERVAL_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0
"""How long the API server may be away."""


class Gone(Exception):
    """There is no such CanaryRollout."""


async def look(kube: KubeClient, namespace: str, name: str) -> View:
    """Once. Raises Gone, ApiError."""
    raw = await kube.get(CANARYROLLOUTS, namespace, name)
    if raw is None:
        raise Gone(f"there is no CanaryRollout {name} in namespace {namespace}")
    return View(raw)


async def follow(kube: KubeClient, namespace: str, name: str, seconds: float | None, told: Callable[[str], None]) -> tuple[View, Exit]:
    """Until the rollout to the desired version has ended; a line for each change. Raises Gone, ApiError."""
    end = None if seconds is None else time.monotonic() + seconds
    view = await look(kube, namespace, name)
    last: tuple[object, ...] = ()
    while True:
        now: tuple[object, ...] = view.phase, view.step, view.weight, view.condition("Ready").get("reason")
        if now != last:
            told(_line(view))
            last = now
        if view.outcome is not None:
            return view, view.outcome
        left = INTERVAL_SECONDS if end is None else min(INTERVAL_SECONDS, end - time.monotonic())
        if left <= 0:
            return view, Exit.TIMEOUT
        await asyncio.sleep(left)
        view = await _patiently(kube, namespace, name, end)


async def _patiently(kube: KubeClient, namespace: str, name: str, end: float | None) -> View:
    limit = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return await look(kube, namespace, name)
        except Unavailable:
            if time.monotonic() > (limit if end is None else min(limit, end)):
                raise
            await asyncio.sleep(INTERVAL_SECONDS)


def _line(view: View) -> str:
    step = f" {view.step} {view.weight} %" if view.step else ""
    return visible(f"{datetime.now(UTC):%H:%M:%S}Z {view.phase}{step}: {view.explanation}")
