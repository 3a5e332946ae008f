"""The client of the API server, against a server that misbehaves on cue."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from localmesh import kube as module
from localmesh.kube import ApiError, Event, Kube, PatientKube


class Server:
    """Answers by method and path; remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, Any]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        key = f"{request.method} {request.path}"
        text = await request.text()
        self.asked.append((str(request.rel_url), json.loads(text) if text else None))
        queue = self.answers[key]
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, int):
            return web.json_response({"reason": "Why", "message": "because"}, status=answer)
        if isinstance(answer, list):
            lines = "".join(json.dumps(event) + "\n" for event in answer)
            return web.Response(text=lines)
        return web.json_response(answer)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.handle)
    async with TestServer(app) as running:
        yield made, str(running.make_url("")).rstrip("/")


@pytest.fixture
async def client(server: tuple[Server, str]) -> AsyncIterator[Kube]:
    made = Kube(server[1], "token", Path(certifi.where()))
    yield made
    await made.close()


async def test_an_error_carries_the_servers_reason(server: tuple[Server, str], client: Kube) -> None:
    server[0].answers["GET /x"] = [409]
    with pytest.raises(ApiError, match="409 Why: because") as caught:
        await client.get("/x")
    assert (caught.value.status, caught.value.reason) == (409, "Why")


async def test_what_does_not_exist_is_none(server: tuple[Server, str], client: Kube) -> None:
    server[0].answers["GET /x"] = [404]
    assert await client.find("/x") is None


async def test_deleting_what_is_gone_or_was_replaced_is_no_error(server: tuple[Server, str], client: Kube) -> None:
    server[0].answers["DELETE /x"] = [404, 409, 409]
    await client.delete("/x")
    await client.delete("/x", uid="u", now=True)
    assert server[0].asked[-1][1] == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u"},
        "gracePeriodSeconds": 0,
    }
    with pytest.raises(ApiError):
        await client.delete("/x")


async def test_paths_follow_from_the_servers_own_list_of_resources(server: tuple[Server, str], client: Kube) -> None:
    server[0].answers["GET /api/v1"] = [
        {
            "resources": [
                {"name": "pods", "kind": "Pod", "namespaced": True},
                {"name": "pods/status", "kind": "Pod", "namespaced": True},
                {"name": "nodes", "kind": "Node", "namespaced": False},
            ]
        }
    ]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    assert await client.path_of(pod) == "/api/v1/namespaces/shop/pods/p"
    assert await client.path_of(node) == "/api/v1/nodes/n"
    assert len(server[0].asked) == 1


async def test_a_patient_client_waits_out_failures_but_not_mistakes(server: tuple[Server, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0)
    patient = PatientKube(server[1], "token", Path(certifi.where()))
    server[0].answers["GET /x"] = [503, 429, 500, {"kind": "Pod"}]
    assert await patient.get("/x") == {"kind": "Pod"}
    server[0].answers["GET /y"] = [403]
    with pytest.raises(ApiError):
        await patient.get("/y")
    await patient.close()


async def test_a_broken_watch_starts_afresh_with_a_list(server: tuple[Server, str], client: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0)
    first, second = ({"metadata": {"resourceVersion": str(n)}, "items": [{"n": n}]} for n in (1, 2))
    added = {"type": "ADDED", "object": {"n": 3}}
    expired = {"type": "ERROR", "object": {"code": 410}}
    server[0].answers["GET /pods"] = [first, [added, expired], 500, second, [added]]
    seen: list[Event] = []
    async for event in client.watch("/pods"):
        seen.append(event)
        if len(seen) == 4:
            break
    assert [(event.kind, event.objects) for event in seen] == [
        ("LISTED", ({"n": 1},)),
        ("ADDED", ()),
        ("LISTED", ({"n": 2},)),
        ("ADDED", ()),
    ]
    assert [url for url, _ in server[0].asked if "watch" in url] == [
        "/pods?watch=true&resourceVersion=1",
        "/pods?watch=true&resourceVersion=2",
    ]
