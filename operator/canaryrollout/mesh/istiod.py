"""istiod's debug interface: found by label, asked with a short-lived token of an account that may do nothing else."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from canaryrollout.core.snapshot import Problem
from canaryrollout.core.sync import Connection, Watched
from canaryrollout.kube.client import KubeClient
from canaryrollout.kube.errors import ApiError
from canaryrollout.kube.resources import PODS
from canaryrollout.settings import IstioSettings

AUDIENCE = "istio-ca"
TOKEN_SECONDS = 600
RENEW_BEFORE = 120.0
ANSWER_LIMIT = 64 * 1024 * 1024
ANSWER_TIMEOUT = 10.0

_CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


class IstiodError(Exception):
    """An istiod could not be asked; carries the problem to show."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Istiod:
    """One istiod pod."""

    name: str
    address: str


class IstiodClient:
    """Asks every istiod of the root namespace. Raises IstiodError."""

    def __init__(self, kube: KubeClient, settings: IstioSettings) -> None:
        self._kube = kube
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def discover(self) -> list[Istiod]:
        """The running istiods, of all revisions. None at all is an error: then nobody vouches for any proxy."""
        settings = self._settings
        try:
            pods = await self._kube.list(PODS, settings.root_namespace, label_selector=settings.istiod_selector)
        except ApiError as error:
            raise IstiodError(Problem("IstiodUnknown", f"the istiod pods could not be listed: {error.message}")) from error
        running = [
            Istiod(pod["metadata"]["name"], pod["status"]["podIP"])
            for pod in pods
            if (pod.get("status") or {}).get("podIP") and _is_ready(pod)
        ]
        if not running:
            message = f"no ready istiod with label {settings.istiod_selector} in namespace {settings.root_namespace}"
            raise IstiodError(Problem("IstiodNotFound", message))
        return sorted(running, key=lambda istiod: istiod.name)

    async def connections(self, istiod: Istiod) -> dict[str, Connection]:
        """The proxies connected to an istiod."""
        rows = await self._ask(istiod, "/debug/syncz")
        if not isinstance(rows, list):
            raise IstiodError(Problem("IstiodAnswer", f"{istiod.name}: /debug/syncz is not a list"))
        return {str(row["proxy"]): _connection(row) for row in rows if isinstance(row, dict) and row.get("proxy")}

    async def config_dump(self, istiod: Istiod, proxy: str) -> Mapping[str, Any] | None:
        """What it generates for a proxy; None when the proxy is not (or no longer) connected to it."""
        answer = await self._ask(istiod, f"/debug/config_dump?proxyID={proxy}", missing_ok=True)
        return answer if isinstance(answer, dict) else None

    async def _ask(self, istiod: Istiod, path: str, *, missing_ok: bool = False) -> Any:
        for renewed in (False, True):
            status, body = await self._get(istiod, path, await self._bearer(renew=renewed))
            if status != 401:
                break
        if status == 404 and missing_ok:
            return None
        if status in (401, 403):
            account = f"{self._settings.root_namespace}/{self._settings.reader_service_account}"
            message = f"{istiod.name} refuses the token of ServiceAccount {account} ({status}): is it in Istio's root namespace?"
            raise IstiodError(Problem("IstiodAccessDenied", message))
        if status != 200:
            raise IstiodError(Problem("IstiodUnreachable", f"{istiod.name} answered {status} to {path.partition('?')[0]}"))
        try:
            return json.loads(body)
        except ValueError as error:
            raise IstiodError(Problem("IstiodAnswer", f"{istiod.name}: {path.partition('?')[0]} is not JSON")) from error

    async def _get(self, istiod: Istiod, path: str, token: str) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT), trust_env=False)
        host = f"[{istiod.address}]" if ":" in istiod.address else istiod.address
        url = f"http://{host}:{self._settings.debug_port}{path}"
        try:
            async with self._session.get(url, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False) as answer:
                body = await answer.content.read(ANSWER_LIMIT + 1)
                while len(body) <= ANSWER_LIMIT and (more := await answer.content.read(ANSWER_LIMIT + 1 - len(body))):
                    body += more
                if len(body) > ANSWER_LIMIT:
                    raise IstiodError(Problem("IstiodAnswer", f"{istiod.name}: the answer is larger than {ANSWER_LIMIT} bytes"))
                return answer.status, body
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


def _is_ready(pod: Mapping[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in (pod.get("status") or {}).get("conditions") or [])


def _connection(row: Mapping[str, Any]) -> Connection:
    resources: Mapping[str, Any] = row.get("resources") or {}

    def of(kind: str, prefix: str) -> Watched:
        found = resources.get(kind) or {}
        return Watched(
            sent=str(found.get("sent") or row.get(f"{prefix}_sent") or ""),
            acked=str(found.get("acked") or row.get(f"{prefix}_acked") or ""),
            error=str(found.get("lastError") or ""),
        )

    nonces = tuple(sorted((kind, str(item.get("sent") or ""), str(item.get("acked") or "")) for kind, item in resources.items()))
    kind = str(row.get("proxy_type") or "")
    return Connection(str(row["proxy"]), kind, of(_CLUSTERS, "cluster"), of(_ROUTES, "route"), nonces)
