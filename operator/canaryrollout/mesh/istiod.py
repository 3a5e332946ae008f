"""istiod's debug interface: found by label, asked with a short-lived token of an account that may do nothing else."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import aiohttp

from canaryrollout.core.snapshot import Expectation, Problem
from canaryrollout.core.sync import Connection, Generated
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import ApiError
from canaryrollout.kube.resources import PODS
from canaryrollout.mesh.config_dump import read_dump, read_syncz
from canaryrollout.mesh.proxies import is_ready
from canaryrollout.settings import IstioSettings

AUDIENCE = "istio-ca"
TOKEN_SECONDS = 600
RENEW_BEFORE = 120.0
ANSWER_LIMIT = 64 * 1024 * 1024
LIST_TIMEOUT = 3.0
"""A pass of the operator waits for lists of connections; a rollback must not be held up by an istiod that hangs."""
DUMP_TIMEOUT = 10.0
DUMPS_AT_ONCE = 2
"""They are large: 13 MB take 45 MB while they are read."""
DUMP_WAIT = 3.0
"""How long a pass waits for its turn: behind an istiod that gives no dumps it would wait out the time limits of all rollouts."""

P = ParamSpec("P")
T = TypeVar("T")


class IstiodError(Exception):
    """An istiod could not be asked; carries the problem to show."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Istiod:
    """One istiod process."""

    name: str
    address: str
    process: str
    """Changes when the process does: push numbers begin anew."""
    required: bool
    """Ready and staying: it must answer. Proxies of one that is coming or going and does not answer are unknown."""


class IstiodClient:
    """Asks the istiods of the root namespace. Raises IstiodError."""

    def __init__(self, kube: KubeClient, settings: IstioSettings) -> None:
        self._kube = kube
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()
        self._dumps = asyncio.Semaphore(DUMPS_AT_ONCE)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def discover(self) -> list[Istiod]:
        """The running istiods, of all revisions. None ready is an error: then nobody vouches for any proxy."""
        settings = self._settings
        try:
            pods = await self._kube.list(PODS, settings.root_namespace, label_selector=settings.istiod_selector)
        except ApiError as error:
            raise IstiodError(Problem("IstiodUnknown", f"the istiod pods could not be listed: {error.message}")) from error
        running = sorted((_istiod(pod) for pod in pods if _runs(pod)), key=lambda istiod: istiod.name)
        if not any(istiod.required for istiod in running):
            message = f"no ready istiod with label {settings.istiod_selector} in namespace {settings.root_namespace}"
            raise IstiodError(Problem("IstiodNotFound", message))
        return running

    async def connections(self, istiod: Istiod) -> tuple[Connection, ...]:
        """The proxies connected to an istiod."""
        body = await self._ask(istiod, "/debug/syncz", seconds=LIST_TIMEOUT)
        return await self._parsed(istiod, read_syncz, body)

    async def generated(self, istiod: Istiod, proxy: str, expectation: Expectation) -> Generated | None:
        """What it generates for a proxy; None when the proxy is not (or no longer) connected to it, or when others take too long."""
        try:
            async with asyncio.timeout(DUMP_WAIT):
                await self._dumps.acquire()
        except TimeoutError:
            return None
        try:
            body = await self._ask(istiod, f"/debug/config_dump?proxyID={proxy}", seconds=DUMP_TIMEOUT, missing_ok=True)
            return await self._parsed(istiod, read_dump, body, expectation) if body else None
        finally:
            self._dumps.release()

    async def _parsed(self, istiod: Istiod, parse: Callable[P, T], *arguments: P.args, **more: P.kwargs) -> T:
        """Off the event loop: answers can be large."""
        try:
            return await asyncio.to_thread(parse, *arguments, **more)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IstiodError(Problem("IstiodAnswer", f"{istiod.name}: unexpected answer: {error}")) from error

    async def _ask(self, istiod: Istiod, path: str, *, seconds: float, missing_ok: bool = False) -> bytes:
        for renewed in (False, True):
            status, body = await self._get(istiod, path, await self._bearer(renew=renewed), seconds)
            if status != 401:
                break
        if status == 404 and missing_ok:
            return b""
        if status in (401, 403):
            account = f"{self._settings.root_namespace}/{self._settings.reader_service_account}"
            message = f"{istiod.name} refuses the token of ServiceAccount {account} ({status}): is it in Istio's root namespace?"
            raise IstiodError(Problem("IstiodAccessDenied", message))
        if status != 200:
            raise IstiodError(Problem("IstiodUnreachable", f"{istiod.name} answered {status} to {path.partition('?')[0]}"))
        return body

    async def _get(self, istiod: Istiod, path: str, token: str, seconds: float) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        host = f"[{istiod.address}]" if ":" in istiod.address else istiod.address
        url = f"http://{host}:{self._settings.debug_port}{path}"
        try:
            limit = aiohttp.ClientTimeout(total=seconds)
            async with self._session.get(url, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False, timeout=limit) as answer:
                chunks, size = [], 0
                async for chunk in answer.content.iter_any():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > ANSWER_LIMIT:
                        raise IstiodError(Problem("IstiodAnswer", f"{istiod.name}: the answer is larger than {ANSWER_LIMIT} bytes"))
                return answer.status, b"".join(chunks)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            message = f"{istiod.name} does not answer on port {self._settings.debug_port}: {type(error).__name__}"
            raise IstiodError(Problem("IstiodUnreachable", message)) from error

    async def _bearer(self, *, renew: bool) -> str:
        async with self._lock:
            if renew or time.monotonic() >= self._renew_at:
                settings = self._settings
                try:
                    self._token, _ = await self._kube.create_token(
                        settings.root_namespace, settings.reader_service_account, AUDIENCE, TOKEN_SECONDS
                    )
                except ApiError as error:
                    account = f"{settings.root_namespace}/{settings.reader_service_account}"
                    message = (
                        f"no token for ServiceAccount {account}: {error.message}; install the chart's istiod access or correct the settings"
                    )
                    raise IstiodError(Problem("IstiodAccessDenied", message)) from error
                self._renew_at = time.monotonic() + TOKEN_SECONDS - RENEW_BEFORE
            return self._token


def _runs(pod: Mapping[str, Any]) -> bool:
    status = pod.get("status") or {}
    return bool(status.get("podIP")) and status.get("phase") == "Running"


def _istiod(pod: Mapping[str, Any]) -> Istiod:
    metadata, status = pod["metadata"], pod["status"]
    restarts = [f"{item.get('name')}:{item.get('restartCount', 0)}" for item in status.get("containerStatuses") or []]
    return Istiod(
        name=metadata["name"],
        address=status["podIP"],
        process=",".join([metadata["uid"], *sorted(restarts)]),
        required=is_ready(pod) and not metadata.get("deletionTimestamp"),
    )
