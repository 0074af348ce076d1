"""A proxy that kills WebSockets, as those of some networks do, and lets all other HTTP through.

A request with an ``Upgrade`` header is answered with 400. Any other goes to the origin behind the
proxy, and its response comes back piece by piece as the origin sends it. A client that goes away
ends its request at the origin too.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    web,
)
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict, CIMultiDictProxy

#: About one connection only, so not passed on (RFC 9110, section 7.6.1); both ends frame anew.
_HOP_BY_HOP = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "transfer-encoding"}
)


class RefusingProxy:
    """Listens on a free loopback port from ``async with`` on.

    Args:
        origin_port: where the server behind it listens on 127.0.0.1.
    """

    def __init__(self, origin_port: int) -> None:
        self._origin_port = origin_port
        self._session: ClientSession | None = None
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._server = TestServer(application, host="127.0.0.1")
        #: The paths of refused requests, without their queries.
        self.refused: list[str] = []

    async def __aenter__(self) -> Self:
        # A stream ends when it ends, and takes none of a bounded number of connections from others.
        self._session = ClientSession(
            auto_decompress=False,
            connector=TCPConnector(limit=0),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None),
        )
        # Streams do not end by themselves, so the end does not wait for them.
        await self._server.start_server(shutdown_timeout=0.1)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.close()
        if self._session is not None:
            await self._session.close()

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        port = self._server.port
        assert port is not None, "the proxy does not listen: enter it first"
        return port

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if "Upgrade" in request.headers:
            self.refused.append(request.path)
            raise web.HTTPBadRequest(text="this proxy does not upgrade connections\n")
        assert self._session is not None
        asked = self._session.request(
            request.method,
            request.url.with_port(self._origin_port),
            headers=_end_to_end(request.headers),
            data=await request.read(),
            allow_redirects=False,
        )
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(asked)
            except ClientError as error:
                raise web.HTTPBadGateway(text=f"the origin did not answer: {error}\n") from error
            return await self._return(answer, request)

    async def _return(self, answer: ClientResponse, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers)
        )
        await response.prepare(request)
        try:
            async for piece in answer.content.iter_any():
                await response.write(piece)
        except ClientError:
            # The head has gone out; what is left to say that the rest is missing is a cut.
            if request.transport is not None:
                request.transport.abort()
        return response


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP
    )
