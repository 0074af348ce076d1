"""Everything that is not hot, as an ordinary aiohttp application: health checks for now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

import callboard_protocol
from callboard_server.front.request import MAX_HEAD_BYTES

logger = logging.getLogger("callboard.server")
#: aiohttp logs a traceback for each request that it finds malformed, which anybody can send.
_library_logger = logging.getLogger("callboard.server.aiohttp")
_library_logger.setLevel(logging.CRITICAL)

#: Whether the server takes new clients.
Ready = Callable[[], bool]


class Pages:
    """aiohttp behind the front: takes over a transport with one request."""

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._runner: web.AppRunner | None = None
        self._server: web.Server | None = None

    async def start(self) -> None:
        """Build the application; it listens to nothing itself."""
        application = web.Application(middlewares=[_log_failures])
        application.on_response_prepare.append(_leave_out_server)
        application.router.add_get("/", self._root)
        application.router.add_get("/ready", self._readiness)
        self._runner = web.AppRunner(application, shutdown_timeout=1.0)
        await self._runner.setup()
        self._server = self._runner.server

    async def stop(self) -> None:
        """Finish what is being answered, for a second at most."""
        if self._runner is not None:
            await self._runner.cleanup()

    def take(self, transport: asyncio.Transport, request: bytes) -> None:
        """Answer one whole request on ``transport`` and close it."""
        assert self._server is not None  # noqa: S101 - started before the front listens
        handler = _PageHandler(
            self._server,
            loop=asyncio.get_running_loop(),
            access_log=_library_logger,
            logger=_library_logger,
            # The front has bounded the head already.
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
        )
        transport.set_protocol(handler)
        handler.connection_made(transport)
        handler.data_received(request)

    async def _root(self, request: web.Request) -> web.Response:
        version = callboard_protocol.__version__
        return web.json_response({"name": "callboard", "version": version})

    async def _readiness(self, request: web.Request) -> web.Response:
        if self._ready():
            return web.json_response({"ready": True})
        return web.json_response({"ready": False, "reason": "the server is ending"}, status=503)


class _PageHandler(web.RequestHandler):
    """aiohttp's protocol, which does not tell its version when it finds a request malformed."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        response = super().handle_error(request, status, exc, message)
        # For such a request the application's signal is not sent.
        response.headers["Server"] = "callboard"
        return response


@web.middleware
async def _log_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        logger.exception("a page failed path=%r", request.path)
        raise web.HTTPInternalServerError from None


async def _leave_out_server(request: web.Request, response: web.StreamResponse) -> None:
    """Strangers need not know the versions of what is used here (RFC 9110, 10.2.4)."""
    response.headers.popall("Server", None)
