"""Requests to the signed HTTP API as ready bytes, and the answers to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from callboard_bench.answers import cut_chunks
from callboard_bench.clock import unix_seconds
from callboard_bench.websocket import Unexpected
from callboard_protocol.rest_signature import body_md5, sign


@dataclass(frozen=True, slots=True)
class App:
    """The credentials of the app under load."""

    id: str
    key: str
    secret: str

    def __repr__(self) -> str:
        return f"App(id={self.id!r}, key={self.key!r}, secret='***')"


def channel_query(app: App, host: str, port: int, channel: str) -> bytes:
    """Return a signed ``GET /apps/ID/channels/NAME``; it may be sent again for ten minutes."""
    return get(app, host, port, f"channels/{channel}", {})


def post(app: App, host: str, port: int, call: str, body: bytes) -> bytes:
    """Return a signed ``POST /apps/ID/CALL`` with a body of JSON."""
    path = f"/apps/{app.id}/{call}"
    query = _signed_query(app, "POST", path, {"body_md5": body_md5(body)})
    head = (
        f"POST {path}?{query} HTTP/1.1\r\nHost: {_authority(host, port)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(app: App, host: str, port: int, call: str, parameters: Mapping[str, str]) -> bytes:
    """Return a signed ``GET /apps/ID/CALL`` with these query parameters."""
    path = f"/apps/{app.id}/{call}"
    query = _signed_query(app, "GET", path, parameters)
    return f"GET {path}?{query} HTTP/1.1\r\nHost: {_authority(host, port)}\r\n\r\n".encode()


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _signed_query(app: App, method: str, path: str, extra: Mapping[str, str]) -> str:
    parameters = {
        "auth_key": app.key,
        "auth_timestamp": str(unix_seconds()),
        "auth_version": "1.0",
        **extra,
    }
    parameters["auth_signature"] = sign(app.secret, method, path, parameters)
    return "&".join(f"{name}={quote(value)}" for name, value in parameters.items())


def cut_answer(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Take one answer off ``data``: status, body and what is left; None while it is not whole.

    Raises:
        Unexpected: not HTTP/1.1, or a body of which nobody says where it ends.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end].lower()
    if head.startswith(b"http/1.1 204 "):
        return 204, b"", data[end + 4 :]
    marker = head.find(b"\r\ncontent-length:")
    if marker < 0 and b"\r\ntransfer-encoding: chunked" in head:
        chunks = cut_chunks(data[end + 4 :])
        return (int(head[9:12]), chunks.body, chunks.rest) if chunks.whole else None
    if not head.startswith(b"http/1.1 ") or marker < 0:
        raise Unexpected(f"an answer that begins {data[:60]!r}")
    length = int(head[marker + 17 :].split(b"\r\n", 1)[0])
    body = end + 4
    if len(data) < body + length:
        return None
    return int(head[9:12]), data[body : body + length], data[body + length :]


def ends_connection(answer: bytes) -> bool:
    """Whether a whole answer says that the server closes the connection behind it."""
    return b"\r\nconnection: close" in answer[: answer.find(b"\r\n\r\n")].lower()
