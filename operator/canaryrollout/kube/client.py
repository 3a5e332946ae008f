"""A thin asynchronous client for raw objects: dictionaries in, dictionaries out, nothing dropped on the way.

It drives the transport of `kubernetes.aio` (TLS, credentials, connections) but not its generated models, which lose fields
they do not know. Every request has a total deadline; nothing is retried here, because only the caller knows whether
repeating a write is safe.
"""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException

from canaryrollout.kube.clock import ServerClock
from canaryrollout.kube.config import ConfigError, load_configuration
from canaryrollout.kube.errors import ApiError, NotFound, Unavailable, api_error
from canaryrollout.kube.patches import comparable
from canaryrollout.kube.resources import SERVICEACCOUNTS, Resource
from canaryrollout.kube.text import go_json

_JSON = "application/json"
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"
_PAGE = 500
_WEBSOCKET_TIMEOUT = aiohttp.ClientWSTimeout(ws_close=1.0)
"""A far end that hangs does not answer a close either."""

Object = dict[str, Any]


class KubeClient:
    """One connection pool to one API server. All methods raise ApiError or one of its subclasses (kube.errors)."""

    def __init__(self, configuration: Configuration, *, user_agent: str = "canaryrollout", timeout: float = 10.0) -> None:
        """`timeout` is the total time, in seconds, that one request may take."""
        self._api: Any = ApiClient(configuration)
        self._user_agent = user_agent
        self._timeout = timeout
        self._clock = ServerClock(time.monotonic)

    @classmethod
    async def load(cls, kubeconfig: Path | None = None, context: str | None = None, *, user_agent: str = "canaryrollout") -> Self:
        """A client for the cluster we run in, or the one a kubeconfig names. Raises kube.config.ConfigError."""
        configuration = await load_configuration(kubeconfig, context)
        try:
            return cls(configuration, user_agent=user_agent)
        except ssl.SSLError as error:
            raise ConfigError(f"no usable Kubernetes configuration: its certificates cannot be read: {error}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    def server_time(self) -> float:
        """The API server's clock, seconds since the epoch; never goes backwards. LookupError before its first answer."""
        return self._clock.now()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """The object, or None if it does not exist. Raises KindMissing if its type is not served."""
        try:
            return await self._call("GET", resource.path(namespace, name))
        except NotFound:
            return None

    async def list(self, resource: Resource, namespace: str | None, *, label_selector: str = "", field_selector: str = "") -> list[Object]:
        """All objects of a namespace (None: of all). Items of built-in types carry no apiVersion and kind."""
        items = {}
        async for item in self.pages(resource, namespace, label_selector=label_selector, field_selector=field_selector):
            metadata = item["metadata"]
            items[metadata.get("namespace"), metadata["name"]] = item
        return [*items.values()]

    async def pages(
        self, resource: Resource, namespace: str | None, *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[Object]:
        """As `list`, holding one page at a time. An item may come twice when the list had to be read anew."""
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        query = {key: value for key, value in selectors.items() if value}
        path = resource.path(namespace)
        page: dict[str, str] = {"limit": str(_PAGE)}
        while True:
            try:
                answer = await self._call("GET", path, query={**query, **page})
            except ApiError as error:
                if error.status != HTTPStatus.GONE or "continue" not in page:
                    raise
                # The snapshot behind the continue token was compacted: take everything at once.
                page = {}
                continue
            for item in answer.get("items") or []:
                yield item
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return
            page = {"limit": str(_PAGE), "continue": token}

    async def create(self, resource: Resource, namespace: str | None, body: Mapping[str, Any]) -> Object:
        """Create an object. Raises AlreadyExists."""
        return await self._call("POST", resource.path(namespace), body=body)

    async def apply(
        self, resource: Resource, namespace: str | None, name: str, body: Mapping[str, Any], *, manager: str, force: bool = False
    ) -> Object:
        """Server-side apply as the field manager `manager`. Raises Conflict if another manager owns a field, unless forced."""
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._call("PATCH", resource.path(namespace, name), query=query, body=body, content_type=_APPLY_PATCH)

    async def json_patch(
        self, resource: Resource, namespace: str | None, name: str, ops: Sequence[Mapping[str, Any]], *, manager: str = ""
    ) -> Object:
        """JSON Patch (RFC 6902). Raises PreconditionFailed when a `test` does not hold, Invalid when the result is refused."""
        query = {"fieldManager": manager} if manager else {}
        return await self._call("PATCH", resource.path(namespace, name), query=query, body=comparable(ops), content_type=_JSON_PATCH)

    async def merge_patch(self, resource: Resource, namespace: str | None, name: str, body: Mapping[str, Any]) -> Object:
        """JSON merge patch (RFC 7396): null deletes, arrays are replaced. A resourceVersion inside is a precondition."""
        return await self._call("PATCH", resource.path(namespace, name), body=body, content_type=_MERGE_PATCH)

    async def replace(self, resource: Resource, namespace: str | None, name: str, body: Mapping[str, Any]) -> Object:
        """Replace the object. Raises Conflict unless metadata.resourceVersion is the present one."""
        return await self._call("PUT", resource.path(namespace, name), body=body)

    async def replace_status(self, resource: Resource, namespace: str | None, name: str, body: Mapping[str, Any]) -> Object:
        """Replace the status subresource. Raises Conflict unless metadata.resourceVersion is the present one."""
        return await self._call("PUT", resource.path(namespace, name, "status"), body=body)

    async def patch_status(self, resource: Resource, namespace: str | None, name: str, ops: Sequence[Mapping[str, Any]]) -> Object:
        """JSON Patch of the status subresource; its tests may be about the whole object. Raises as `json_patch`."""
        return await self._call("PATCH", resource.path(namespace, name, "status"), body=list(ops), content_type=_JSON_PATCH)

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, *, uid: str | None = None, resource_version: str | None = None
    ) -> bool:
        """Ask for deletion; False if the object is gone already. Raises Conflict if it is not the one that was meant."""
        preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
        try:
            await self._call("DELETE", resource.path(namespace, name), body={"preconditions": preconditions} if preconditions else None)
        except NotFound:
            return False
        return True

    async def create_token(self, namespace: str, service_account: str, audience: str, expiration_seconds: int) -> tuple[str, float]:
        """A bearer token of a service account (TokenRequest) and when it expires (epoch, API server's clock)."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": expiration_seconds},
        }
        answer = await self._call("POST", SERVICEACCOUNTS.path(namespace, service_account, "token"), body=body)
        status = answer["status"]
        return status["token"], datetime.fromisoformat(status["expirationTimestamp"]).timestamp()

    @asynccontextmanager
    async def websocket(self, path: str, query: Mapping[str, str], protocol: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket to a streaming subresource. The caller bounds the time; what it raises in the meantime passes through."""
        url = f"{self._api.configuration.host}{path}?{urlencode(query)}"
        headers = {"User-Agent": self._user_agent}
        transport = self._pool()
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None)
            socket = await transport.pool_manager.ws_connect(
                url,
                headers=headers,
                protocols=(protocol,),
                proxy=transport.proxy,
                proxy_headers=transport.proxy_headers,
                server_hostname=self._api.configuration.tls_server_name,
                timeout=_WEBSOCKET_TIMEOUT,
            )
        except aiohttp.WSServerHandshakeError as error:
            raise api_error(error.status, b"", {}, json_patch=False) from error
        except (aiohttp.ClientError, OSError, ConfigException) as error:
            raise Unavailable(0, type(error).__name__, f"GET {path}: {error}") from error
        try:
            yield socket
        finally:
            await socket.close()

    async def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = _JSON
    ) -> Object:
        status, headers, data = await self._exchange(method, path, query, body, content_type)
        if not 200 <= status < 300:
            raise api_error(status, data, headers, json_patch=content_type == _JSON_PATCH)
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unavailable(status, "", f"{method} {path}: the answer is not a JSON object")
        return answer

    async def _exchange(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        url = f"{self._api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": _JSON, "Content-Type": content_type, "User-Agent": self._user_agent}
        try:
            async with asyncio.timeout(self._timeout):
                await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, None)
                sent = time.monotonic()
                if content_type == _JSON_PATCH:
                    answer = await self._send_text(method, url, headers, go_json(body))
                else:
                    timeout = aiohttp.ClientTimeout(total=self._timeout)
                    answer = await self._api.rest_client.request(method, url, headers=headers, body=body, _request_timeout=timeout)
                data = await answer.read()
        except TimeoutError as error:
            raise Unavailable(0, "Timeout", f"{method} {path}: no answer within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError, ConfigException) as error:
            raise Unavailable(0, type(error).__name__, f"{method} {path}: {error}") from error
        if "Date" in answer.headers:
            self._clock.observe(answer.headers["Date"], sent)
        return answer.status, answer.headers, data

    async def _send_text(self, method: str, url: str, headers: Mapping[str, str], text: str) -> Any:
        """A request with a body of our own spelling, which the transport would write in its own."""
        transport = self._pool()
        return await transport.pool_manager.request(
            method,
            url,
            headers=headers,
            data=text.encode(errors="backslashreplace"),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            proxy=transport.proxy,
            proxy_headers=transport.proxy_headers,
            server_hostname=self._api.configuration.tls_server_name,
        )

    def _pool(self) -> Any:
        """The transport, with its connections."""
        transport = self._api.rest_client
        if transport.pool_manager is None:
            transport.pool_manager = transport._create_pool_manager()
        return transport
