"""Stands between clients, backends and a service, and records what passes.

Whoever is pointed at its host and port in the place of the service's is served as by the service.
It knows no key and no secret: what is signed does not cover the host, so it stays right.

1. WebSockets are passed on by :mod:`websocket_relay`, each with a connection of its own to the
   service; how the service refuses one is passed on too.
2. Other requests are passed on by :mod:`http_relay`. Those of the API are recorded with their
   answer's status, those of the fallback as the frames in them; of the rest nothing is recorded.
3. A service that cannot be reached is 502.
4. While the disk is behind, nothing more is read (:mod:`writing`).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import re
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import aiohttp
from aiohttp import web

from callboard.traffic.errors import CannotRecord
from callboard.traffic.fallback_sessions import (
    TIMEOUT_SECONDS,
    FallbackRequest,
    FallbackSessions,
    fallback_request,
)
from callboard.traffic.http_relay import (
    AUTOMATIC_HEADERS,
    headers_of,
    pass_back,
    read_body,
    target,
)
from callboard.traffic.reaching import CONNECT_SECONDS, reason
from callboard.traffic.recorder import Recorder
from callboard.traffic.recording import NO_CLOSE_FRAME
from callboard.traffic.websocket_relay import Client, Service, WebSocketRelay
from callboard_server import listeners

logger = logging.getLogger(__name__)

#: A longer message than any service takes, and the most that one connection keeps in memory.
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_MAX_HEAD_BYTES: Final = 64 * 1024

_APP: Final = re.compile(r".*?/apps/([^/]+)(/.*)?")
_SOCKET: Final = re.compile(r".*/app/([^/]+)/?")


class Proxy:
    """``async with`` it: serves for ``service`` on ``sockets``, which are its own from then on.

    Raises:
        CannotRecord: the service's URL is none.
    """

    def __init__(
        self,
        service: str,
        recorder: Recorder,
        sockets: Sequence[socket.socket],
        *,
        fallback_timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._base = service_base(service)
        self._recorder = recorder
        self._sockets = sockets
        self._fallback = FallbackSessions(recorder, fallback_timeout_seconds)
        self._relays: set[WebSocketRelay] = set()
        self._passing: set[asyncio.Task[object]] = set()
        self._stack = contextlib.AsyncExitStack()
        self._session: aiohttp.ClientSession
        #: Host and port where it listens.
        self.address: tuple[str, int] = sockets[0].getsockname()[:2]

    async def __aenter__(self) -> Proxy:
        async with contextlib.AsyncExitStack() as stack:
            self._session = await stack.enter_async_context(self._client_session())
            # A client that goes away takes its request with it.
            server = web.Server(
                self._serve,
                handler_cancellation=True,
                access_log=None,
                auto_decompress=False,
                max_line_size=_MAX_HEAD_BYTES,
                max_field_size=_MAX_HEAD_BYTES,
            )
            runner = web.ServerRunner(server, shutdown_timeout=1.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            for sock in self._sockets:
                await web.SockSite(runner, sock).start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *ended: object) -> None:
        for relay in self._relays:
            relay.end()
        self._fallback.end()
        for task in self._passing:
            task.cancel()
        await self._stack.aclose()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        # Anything else behind the service's host and port might name another host.
        if not request.raw_path.startswith("/"):
            shown = request.raw_path[:200]
            return web.Response(status=400, text=f"{shown!r} is no target: expected a path\n")
        try:
            await self._recorder.room()
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._pass_websocket(request)
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - for the type checker
            self._passing.add(task)
            try:
                return await self._pass_request(request)
            finally:
                self._passing.discard(task)
        except web.HTTPRequestEntityTooLarge as error:
            return web.Response(status=error.status, text=error.text)
        except (aiohttp.ClientError, TimeoutError) as error:
            why = reason(error)
            logger.warning("cannot reach %s: %s", self._base, why)
            return web.Response(status=502, text=f"Cannot reach {self._base}: {why}\n")

    # Requests

    async def _pass_request(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await read_body(request)
        path, _, query = request.raw_path.partition("?")
        asked = fallback_request(request.method, path)
        if asked is not None:
            return await self._pass_fallback(request, asked, query, body)
        parameters = parse_qsl(query, keep_blank_values=True)
        app = _APP.fullmatch(path)
        if app is None and "auth_signature" not in dict(parameters):
            async with self._ask(request, body) as answer:
                return await pass_back(answer, request)
        app_id, rest = (unquote(app[1]), app[2] or "") if app else (None, path)
        number = self._recorder.request(request.method, rest, app_id, parameters, body)
        try:
            async with self._ask(request, body) as answer:
                self._recorder.answer(number, answer.status)
                return await pass_back(answer, request)
        except (aiohttp.ClientError, TimeoutError):
            self._recorder.answer(number, None)
            raise

    async def _pass_fallback(
        self, request: web.BaseRequest, asked: FallbackRequest, query: str, body: bytes
    ) -> web.StreamResponse:
        if asked.sends:
            self._fallback.send(asked, body)
        # What is compressed cannot be read as it passes.
        async with self._ask(request, body, "accept-encoding") as answer:
            if asked.sends or answer.status != 200:
                return await pass_back(answer, request)
            with self._fallback.receive(asked, query) as receive:
                return await pass_back(answer, request, receive.read)

    def _ask(
        self, request: web.BaseRequest, body: bytes, *besides: str
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(
            request.method,
            target(self._base, request),
            data=io.BytesIO(body) if body else None,
            headers=headers_of(request, "content-length", *besides),
            allow_redirects=False,
        )

    # WebSockets

    async def _pass_websocket(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        found = _SOCKET.fullmatch(path)
        key = unquote(found[1]) if found else ""
        # A session of its own: with it the connection is cut, whatever state it is in.
        async with self._client_session() as session:
            try:
                service = await self._open(session, request)
            except aiohttp.WSServerHandshakeError as error:
                self._recorder.refused(key, error.status)
                text = f"The service refused the WebSocket: {error.status} {error.message}\n"
                return web.Response(status=error.status, text=text)
            except (aiohttp.ClientError, TimeoutError):
                self._recorder.refused(key, None)
                raise
            client: Client = web.WebSocketResponse(
                autoping=False,
                autoclose=False,
                timeout=1.0,
                compress=False,
                max_msg_size=MAX_MESSAGE_BYTES,
                decode_text=False,
                protocols=[service.protocol] if service.protocol else [],
            )
            connection = self._recorder.connect("websocket", key, parse_qsl(query))
            try:
                await client.prepare(request)
                relay = WebSocketRelay(client, service, connection, self._recorder)
                await self._run(relay, request)
            finally:
                connection.ended("client", NO_CLOSE_FRAME)
                await session.close()
                # Its transport is closed, so this says nothing to the service any more.
                await service.close()
        return client

    async def _run(self, relay: WebSocketRelay, request: web.BaseRequest) -> None:
        """Relay to the end, also when the client is gone: what came before is passed on."""
        self._relays.add(relay)
        transport = request.transport
        running = asyncio.create_task(relay.run())
        try:
            try:
                closed = await asyncio.shield(running)
            except asyncio.CancelledError:
                closed = await running
                raise
            finally:
                self._relays.discard(relay)
            if transport is not None:
                # Else the library would say goodbye a second time.
                transport.close() if closed else transport.abort()
        finally:
            running.cancel()

    async def _open(self, session: aiohttp.ClientSession, request: web.BaseRequest) -> Service:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        handshake = [name.lower() for name in request.headers if name.lower().startswith("sec-")]
        return await session.ws_connect(
            target(self._base, request),
            protocols=[name.strip() for name in offered.split(",") if name.strip()],
            headers=headers_of(request, *handshake),
            autoping=False,
            autoclose=False,
            compress=0,
            max_msg_size=MAX_MESSAGE_BYTES,
            decode_text=False,
        )

    def _client_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # A connection that is kept may be closed by the service just when it is used again.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            # Cookies are between one client and the service.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            auto_decompress=False,
            skip_auto_headers=AUTOMATIC_HEADERS,
        )


def bind(host: str, port: int) -> list[socket.socket]:
    """Return what to listen on, one for each address of ``host``; port 0 takes a free one.

    Raises:
        CannotRecord: the address cannot be listened on.
    """
    try:
        return listeners.bind(host, port)
    except listeners.ListenError as error:
        raise CannotRecord(f"Cannot listen: {error} Another place is named by --listen.") from None


def service_base(url: str) -> str:
    """Return a service's URL without a slash at its end.

    Raises:
        CannotRecord: it is none. The text does not have it, for there may be a secret in it.
    """
    expected = "expected http[s]://HOST[:PORT]"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CannotRecord(f"Cannot record: --url is no URL of a service: {expected}.")
    if parts.username or parts.password:
        raise CannotRecord(
            f"Cannot record: --url has a key in it: {expected}. Nothing is signed by the recorder."
        )
    if parts.query or parts.fragment:
        raise CannotRecord(f"Cannot record: --url has more than a host and a port: {expected}.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
