"""A whole request and its answer, as values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import msgspec

from callboard_server.client_info import NOBODY, ClientInfo

#: Request line and headers; more is 431.
MAX_HEAD_BYTES: Final = 16 * 1024
#: More is 431: in memory a short header takes many times its bytes.
MAX_HEADERS: Final = 100


class Request(msgspec.Struct, gc=False):
    """One HTTP request with its whole body; ``target`` is path and query as sent."""

    method: str
    target: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    keep_alive: bool = True
    client: ClientInfo = NOBODY

    def header(self, name: bytes) -> bytes | None:
        """Return the first header of this lower-case name."""
        for found, value in self.headers:
            if found.lower() == name:
                return value
        return None


class Response(msgspec.Struct, frozen=True):
    """What is answered; ``headers`` are whole lines without their line ends."""

    status: int
    body: bytes = b"{}"
    content_type: str = "application/json"
    headers: tuple[str, ...] = ()


#: Lets a page of any origin read an answer; which pages may connect is the apps' to say.
ANY_ORIGIN: Final = "Access-Control-Allow-Origin: *"


def text(status: int, message: str, *headers: str) -> Response:
    """Return a plain-text answer; hosted Pusher ends its error bodies with a newline."""
    return Response(status, f"{message}\n".encode(), "text/plain; charset=utf-8", headers)


def json_error(response: Response) -> Response:
    """Return a plain-text answer as ``{"error": …}``."""
    body = msgspec.json.encode({"error": response.body.decode().rstrip("\n")})
    return Response(response.status, body, headers=response.headers)


#: Has no body and so no length either (RFC 9110, 8.6).
_NO_CONTENT: Final = 204
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class Encoder:
    """Writes responses as bytes; the date header is made once a second."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = -1
        self._date = ""
        self._heads: dict[tuple[int, str, bool, str, int | None], bytes] = {}

    def encode(self, response: Response, request: Request | None, *, close: bool) -> bytes:
        """Return the whole response; without a request it is for one that was not understood."""
        version = request.version if request else "1.1"
        key = (response.status, response.content_type, close, version, len(response.body))
        head = self._complete(key, response.headers)
        if request is not None and request.method == "HEAD":
            return head
        return head + response.body

    def stream_head(
        self, content_type: str, headers: Sequence[str], request: Request, *, close: bool
    ) -> bytes:
        """Return the head of a response of unknown length: chunked, or without one to HTTP/1.0."""
        return self._complete((200, content_type, close, request.version, None), headers)

    def _complete(
        self, key: tuple[int, str, bool, str, int | None], headers: Sequence[str]
    ) -> bytes:
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._date = formatdate(second, usegmt=True)
            self._heads.clear()
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = self._head(*key)
        if headers:
            lines = "".join(f"{line}\r\n" for line in headers)
            head = head[:-2] + lines.encode("latin-1", "replace") + b"\r\n"
        return head

    def _head(
        self, status: int, content_type: str, close: bool, version: str, length: int | None
    ) -> bytes:
        connection = "close" if close else "keep-alive" if version == "1.0" else ""
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}", f"Date: {self._date}"]
        if status != _NO_CONTENT:
            lines.append(f"Content-Type: {content_type}")
        if length is not None and status != _NO_CONTENT:
            lines.append(f"Content-Length: {length}")
        elif length is None and version != "1.0":
            lines.append("Transfer-Encoding: chunked")
        if connection:
            lines.append(f"Connection: {connection}")
        return ("".join(f"{line}\r\n" for line in lines) + "\r\n").encode()


def head_bytes(request: Request, version: bytes, left_out: frozenset[bytes]) -> bytes:
    """Return the head of ``request`` without these headers, and without its empty line."""
    lines = [b"%s %s HTTP/%s\r\n" % (request.method.encode("latin-1"), request.target, version)]
    lines += [
        b"%s: %s\r\n" % (name, value)
        for name, value in request.headers
        if name.lower() not in left_out
    ]
    return b"".join(lines)


def origin_form(target: bytes) -> bytes:
    """Return the target without scheme and host, which any client may send (RFC 9112, 3.2.2)."""
    if target.startswith(b"/") or b"://" not in target:
        return target
    path, mark, query = target.partition(b"://")[2].partition(b"?")
    return b"/" + path.partition(b"/")[2] + mark + query
