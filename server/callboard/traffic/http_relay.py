"""One HTTP request, passed on to the service, and its answer, passed back as it comes.

What is about a single connection stays with it (RFC 9110, 7.6.1), and the host is the service's.
A client that waits to be asked for its body is asked here, since it is read before it goes on.
All else is passed as it is: the path and query to the letter, since they are signed, and bodies
without being decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

#: More than any service takes. A body is in memory while it passes.
MAX_BODY_BYTES: Final = 16 * 1024 * 1024

_OF_CONNECTIONS: Final = frozenset(
    (
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
#: What the library would add of its own accord.
AUTOMATIC_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


def target(base: str, request: web.BaseRequest) -> URL:
    """Return where a request goes on to; ``base`` ends without a slash."""
    return URL(f"{base}{request.raw_path}", encoded=True)


def headers_of(request: web.BaseRequest, *besides: str) -> CIMultiDict[str]:
    """Return the headers to pass on, without the host and without those named ``besides``."""
    return _passed(request.headers, "host", *besides)


def _passed(headers: CIMultiDictProxy[str], *besides: str) -> CIMultiDict[str]:
    lines = headers.getall("Connection", [])
    named = {name.strip().lower() for line in lines for name in line.split(",")}
    without = _OF_CONNECTIONS.union(named, besides)
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in without
    )


async def read_body(request: web.BaseRequest) -> bytes:
    """Return the body as it came.

    Raises:
        web.HTTPRequestEntityTooLarge: more than :data:`MAX_BODY_BYTES`.
    """
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, len(body))
    return bytes(body)


async def pass_back(
    answer: aiohttp.ClientResponse,
    request: web.BaseRequest,
    read: Callable[[bytes], None] = lambda data: None,
) -> web.StreamResponse:
    """Pass an answer back; ``read`` is told of each piece before it goes."""
    response = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=_passed(answer.headers)
    )
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            read(piece)
            await response.write(piece)
    except aiohttp.ClientPayloadError:
        # The service broke off in the middle, and so does this.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response
