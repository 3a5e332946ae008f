"""A small asynchronous client for the API server, in raw dicts."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

RETRY_SECONDS = 0.5


class ApiError(Exception):
    """An answer of the API server other than 2xx."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Event:
    """One watch event. `kind` is ADDED, MODIFIED, DELETED, or LISTED (with all objects, on every fresh start)."""

    kind: str
    object: Object
    objects: tuple[Object, ...] = ()


class Kube:
    """Client for one user (token) of the API server."""

    def __init__(self, server: str, token: str, ca: Path) -> None:
        self._server = server
        self._headers = {"Authorization": f"Bearer {token}"}
        self._ca = ca
        self._session: aiohttp.ClientSession | None = None
        self._plurals: dict[str, dict[str, tuple[str, bool]]] = {}

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            tls = ssl.create_default_context(cafile=str(self._ca))
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=0),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=30),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Object:
        """One call. Raises ApiError for any answer but 2xx, aiohttp.ClientError when there is none."""
        data = None if body is None else json.dumps(body)
        async with self._http().request(
            method, self._server + path, data=data, params=params, headers={"Content-Type": content_type}
        ) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise _error(answer.status, text)
            return _object(text)

    async def get(self, path: str) -> Object:
        return await self.request("GET", path)

    async def find(self, path: str) -> Object | None:
        """The object, or None where there is none."""
        try:
            return await self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def apply(self, manifest: Object, manager: str = "localmesh") -> Object:
        """Server-side apply of any kind of object; fields that others own are taken over."""
        return await self.request(
            "PATCH",
            await self.path_of(manifest),
            manifest,
            content_type=APPLY_PATCH,
            params={"fieldManager": manager, "force": "true"},
        )

    async def delete(self, path: str, *, uid: str | None = None, now: bool = False) -> None:
        """Delete; an object that is gone already, or was replaced by one with another uid, is no error."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if now:
            options["gracePeriodSeconds"] = 0
        try:
            await self.request("DELETE", path, options)
        except ApiError as error:
            if error.status != 404 and not (uid and error.status == 409):
                raise

    async def path_of(self, manifest: Object) -> str:
        """Path of an object on the API server, by its apiVersion, kind, namespace and name."""
        version, kind = manifest["apiVersion"], manifest["kind"]
        if kind not in self._plurals.get(version, {}):
            root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
            resources = (await self.get(root))["resources"]
            self._plurals[version] = {item["kind"]: (item["name"], item["namespaced"]) for item in resources if "/" not in item["name"]}
        plural, namespaced = self._plurals[version][kind]
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        meta = manifest["metadata"]
        scope = f"/namespaces/{meta.get('namespace', 'default')}" if namespaced else ""
        return f"{root}{scope}/{plural}/{meta['name']}"

    async def watch(self, path: str) -> AsyncIterator[Event]:
        """List, then watch, for ever; starts afresh with LISTED whenever the stream breaks."""
        while True:
            try:
                listed = await self.get(path)
                yield Event("LISTED", {}, tuple(listed["items"]))
                async for event in self._stream(path, listed["metadata"]["resourceVersion"]):
                    yield event
            except (ApiError, aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)

    async def _stream(self, path: str, version: str) -> AsyncIterator[Event]:
        params = {"watch": "true", "resourceVersion": version}
        no_limit = aiohttp.ClientTimeout(total=None)
        async with self._http().get(self._server + path, params=params, timeout=no_limit) as answer:
            if answer.status >= 300:
                raise _error(answer.status, await answer.text())
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield Event(event["type"], event["object"])


class PatientKube(Kube):
    """A client that waits for an API server that is away or fails, however long that takes."""

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Object:
        """One call, tried again and again; ApiError for what is wrong with the call itself."""
        while True:
            try:
                return await super().request(method, path, body, content_type=content_type, params=params)
            except (aiohttp.ClientError, TimeoutError):
                pass
            except ApiError as error:
                if error.status < 500 and error.status != 429:
                    raise
            await asyncio.sleep(RETRY_SECONDS)


def _object(text: str) -> Object:
    value = json.loads(text) if text.startswith("{") else {"text": text}
    assert isinstance(value, dict)
    return value


def _error(status: int, text: str) -> ApiError:
    try:
        body = _object(text)
    except ValueError:
        body = {}
    return ApiError(status, body.get("reason") or "", body.get("message") or text[:300])
