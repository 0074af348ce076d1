"""The web server of an app: a page with pusher-js from npm, unmodified, and an auth endpoint.

``/pusher`` has the build that most apps load, ``/pusher-with-encryption`` the one that decrypts.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from support.backend import Backend

_STAGE = Path(__file__).parent / "stage.js"
_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Callboard</title>
<link rel="icon" href="data:,">
<script src="/dist/{build}.js"></script>
<script src="/stage.js"></script>
"""


class PageServer:
    """Serves on a free loopback port from ``async with`` on.

    Args:
        dist: the folder of pusher-js's builds for browsers.
        backend: decides who may hear what, and signs it.
    """

    def __init__(self, dist: Path, backend: Backend) -> None:
        self._backend = backend
        application = web.Application()
        application.router.add_get("/{build:pusher(-with-encryption)?}", self._page)
        application.router.add_get("/stage.js", self._stage)
        application.router.add_static("/dist", dist)
        application.router.add_post("/pusher/auth", self._authorize)
        self._server = TestServer(application, host="127.0.0.1")

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.close()

    def url(self, build: str = "pusher") -> str:
        """Return the address of the page with a build of pusher-js."""
        return str(self._server.make_url(f"/{build}"))

    async def _page(self, request: web.Request) -> web.StreamResponse:
        page = _PAGE.format(build=request.match_info["build"])
        return web.Response(text=page, content_type="text/html")

    async def _stage(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(_STAGE)

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        scheme, _, user = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not user:
            raise web.HTTPForbidden(text="sign in first: Authorization: Bearer <user>")
        form = await request.post()
        socket_id, channel = str(form["socket_id"]), str(form["channel_name"])
        return web.json_response(self._backend.authorize(user, socket_id, channel))
