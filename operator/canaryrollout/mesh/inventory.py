"""What all rollouts share when they ask for proofs: the pods with proxies, the istiods, and what the istiods list."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from canaryrollout.core.snapshot import Problem
from canaryrollout.core.sync import KINDS, Connection, MeshPod
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import ApiError
from canaryrollout.mesh.istiod import Istiod, IstiodClient, IstiodError
from canaryrollout.mesh.proxies import guessed_scope, running_proxies

PODS_SECONDS = 3.0
"""How long lists of pods are reused."""
GONE_SECONDS = 0.5
"""How long where a pod in them is not connected."""

T = TypeVar("T")


class Shared(Generic[T]):
    """An answer that several callers may use while it is young enough; one of them fetches it for all."""

    def __init__(self, fetch: Callable[[], Awaitable[T]]) -> None:
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._value: tuple[float, T] | None = None
        self._failure: tuple[float, Exception] | None = None

    async def get(self, max_age: float) -> tuple[float, T]:
        """The answer and the monotonic time at which it was asked for. An error is only for those who were waiting then."""
        came = time.monotonic()
        async with self._lock:
            if self._value is not None and self._value[0] >= came - max_age:
                return self._value
            if self._failure is not None and self._failure[0] >= came:
                # Or each who waits would wait out the time limits of all before it.
                raise self._failure[1]
            return await self._ask()

    async def _ask(self) -> tuple[float, T]:
        self._value = self._failure = None
        asked = time.monotonic()
        try:
            self._value = (asked, await self._fetch())
        except Exception as error:
            self._failure = (asked, error)
            raise
        return self._value

    def forget(self) -> None:
        """Ask anew next time."""
        self._value = None


@dataclass(frozen=True, slots=True)
class Listed:
    """What one istiod lists."""

    istiod: Istiod
    at: float
    """Monotonic time at which it was asked."""
    connections: tuple[Connection, ...]
    by_scope: Mapping[str, tuple[Connection, ...]]
    """Those with routes of their own."""


@dataclass(frozen=True, slots=True)
class Census:
    """Everything at one moment."""

    pods: tuple[MeshPod, ...]
    unlisted: tuple[MeshPod, ...]
    """Pods that no istiod lists."""
    listed: tuple[Listed, ...]
    problem: Problem | None = None
    """An istiod that should answer and does not."""


class Inventory:
    """Takes the census. Raises IstiodError."""

    def __init__(self, kube: KubeClient, client: IstiodClient, namespaces: tuple[str, ...]) -> None:
        self._kube = kube
        self._client = client
        self._namespaces = namespaces
        self._pods = Shared(self._read_pods)
        self._rows: dict[Istiod, Shared[tuple[Connection, ...]]] = {}
        self._last: tuple[tuple[float, ...], Census] | None = None

    async def census(self, max_age: float) -> Census:
        """As of at most `max_age` seconds ago; the list of pods may be PODS_SECONDS older where every pod in it is connected."""
        census = await self._census(PODS_SECONDS, max_age)
        if any(pod.serving for pod in census.unlisted):
            # Before a pod is called cut off: it may be gone since the pods were listed.
            census = await self._census(GONE_SECONDS, max_age)
        return census

    async def _census(self, pods_age: float, max_age: float) -> Census:
        read_at, (pods, istiods) = await self._pods.get(pods_age)
        self._rows = {istiod: self._rows.get(istiod) or Shared(partial(self._client.connections, istiod)) for istiod in istiods}
        answers = await asyncio.gather(*(self._rows[istiod].get(max_age) for istiod in istiods), return_exceptions=True)
        problem: Problem | None = None
        listed: list[tuple[Istiod, float, tuple[Connection, ...]]] = []
        for istiod, answer in zip(istiods, answers, strict=True):
            if isinstance(answer, IstiodError):
                problem = problem or (answer.problem if istiod.required else None)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                listed.append((istiod, *answer))
        if problem is not None:
            self._pods.forget()  # it may be another process by now
        return self._combined(read_at, pods, listed, problem)

    def _combined(
        self, read_at: float, pods: tuple[MeshPod, ...], listed: list[tuple[Istiod, float, tuple[Connection, ...]]], problem: Problem | None
    ) -> Census:
        """The same answers give the same census, so that it is put together once for all who ask."""
        key = (read_at, *(at for _, at, _ in listed))
        if self._last is not None and self._last[0] == key and problem is None:
            return self._last[1]
        scopes = {pod.proxy: pod.scope for pod in pods}
        seen = {connection.proxy for _, _, connections in listed for connection in connections}
        unlisted = tuple(pod for pod in pods if pod.proxy not in seen)
        rows = tuple(Listed(istiod, at, connections, _by_scope(connections, scopes)) for istiod, at, connections in listed)
        census = Census(pods, unlisted, rows, problem)
        self._last = (key, census)
        return census

    async def _read_pods(self) -> tuple[tuple[MeshPod, ...], tuple[Istiod, ...]]:
        async def proxies() -> list[MeshPod]:
            try:
                return await running_proxies(self._kube, self._namespaces)
            except ApiError as error:
                problem = Problem("ProxiesUnknown", f"the pods with proxies could not be listed: {error.message}")
                raise IstiodError(problem) from error

        pods, istiods = await asyncio.gather(proxies(), self._client.discover())
        return tuple(pods), tuple(istiods)


def _by_scope(connections: tuple[Connection, ...], scopes: Mapping[str, str]) -> dict[str, tuple[Connection, ...]]:
    found: dict[str, list[Connection]] = defaultdict(list)
    for connection in connections:
        if connection.kind in KINDS:
            found[scopes.get(connection.proxy) or guessed_scope(connection.proxy)].append(connection)
    return {scope: tuple(members) for scope, members in found.items()}
