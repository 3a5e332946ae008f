"""The control interface: HTTP on a unix socket in the mesh's folder, for `localmesh.Mesh` and the command line."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from localmesh.client import short_path
from localmesh.errors import LocalMeshError
from localmesh.kube import Object

if TYPE_CHECKING:
    from localmesh.daemon import Daemon

Call = Callable[[Object], Awaitable[Object]]


@asynccontextmanager
async def serve_control(daemon: "Daemon", socket: Path) -> AsyncIterator[None]:
    """Serve until the block ends. Every call is POST /NAME with a JSON object; errors are 400 with a text."""
    app = web.Application()
    for name, call in _calls(daemon).items():
        app.router.add_post(f"/{name}", _handler(call))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        with short_path(socket) as path:
            await web.UnixSite(runner, path).start()
            yield
    finally:
        await runner.cleanup()


def _handler(call: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return web.json_response(await call(await request.json()))
        except LocalMeshError as error:
            return web.Response(status=400, text=str(error))

    return handle


def _calls(daemon: "Daemon") -> dict[str, Call]:
    async def status(_: Object) -> Object:
        return {"ready": daemon.ready, "failure": daemon.failure, "parts": daemon.parts.describe()}

    async def operate(body: Object) -> Object:
        await daemon.parts.operate(body["part"], body["operation"])
        return {}

    async def new_prometheus(body: Object) -> Object:
        return {"url": await daemon.new_prometheus(body["name"], body["interval"])}

    async def scrape(body: Object) -> Object:
        change = daemon.targets.restore if body["scrape"] else daemon.targets.withhold
        change(body["namespace"], body["pod"])
        return {}

    async def gateway_port(_: Object) -> Object:
        return {"port": daemon.gateway_ports.take()}

    async def new_istiod(body: Object) -> Object:
        await daemon.new_istiod(body["replica"])
        return {}

    async def shut_down(_: Object) -> Object:
        daemon.shut_down()
        return {}

    return {
        "status": status,
        "operate": operate,
        "prometheus": new_prometheus,
        "scrape": scrape,
        "gateway-port": gateway_port,
        "istiod": new_istiod,
        "shut-down": shut_down,
    }
