"""An HTTP client on a plain blocking socket, which can say what no library would.

Every byte sent is the test's, every byte read is kept, and every wait is bounded by the
socket's timeout, which then fails the test.
"""

from __future__ import annotations

import errno
import json
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from callboard_protocol import rest_signature
from callboard_server.clock import SystemClock

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """One HTTP response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Peer:
    """One TCP connection to the server under test."""

    def __init__(self, port: int, *, receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT_SECONDS)
        if receive_buffer_bytes is not None:
            # Before connecting, because the window is agreed upon then.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.connect(("127.0.0.1", port))
        # Pieces must leave as pieces.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Vanish without a word: the server sees a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # Out

    def send(self, *pieces: bytes) -> None:
        """Send each piece by a call of its own."""
        for piece in pieces:
            self.socket.sendall(piece)

    def send_by_bytes(self, data: bytes) -> None:
        self.send(*(data[at : at + 1] for at in range(len(data))))

    def half_close(self) -> None:
        """Say that no more will be sent, and stay to read."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # the server has cut the connection meanwhile
                raise

    # In

    def receive(self) -> bool:
        """Read what is there into the buffer; False at the end of the stream."""
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not self.receive():
                raise EOFError(f"the server ended after {bytes(self.buffer)!r}")
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read_through(self, mark: bytes) -> bytes:
        while (at := self.buffer.find(mark)) < 0:
            if not self.receive():
                raise EOFError(f"the server ended after {bytes(self.buffer)!r}")
        return self.read(at + len(mark))

    def read_rest(self) -> bytes:
        """Read to the end of the stream; ConnectionResetError if it was cut instead."""
        while self.receive():
            pass
        return self.read(len(self.buffer))

    def wait_for_end(self) -> None:
        """Read until the server has ended or cut the stream."""
        try:
            self.read_rest()
        except ConnectionResetError:
            pass

    def nothing_comes(self, seconds: float = 0.05) -> bool:
        """Whether neither data nor the end arrives for a moment."""
        assert not self.buffer, bytes(self.buffer)
        self.socket.settimeout(seconds)
        try:
            self.receive()
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(TIMEOUT_SECONDS)
        return False

    def read_answer(self, *, to_head: bool = False) -> Answer:
        """Read one HTTP response; one to a HEAD request has no body."""
        lines = self.read_through(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status_text = lines[0].split(" ")[:2]
        assert version in ("HTTP/1.0", "HTTP/1.1"), lines[0]
        status = int(status_text)
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        empty = to_head or status < 200 or status == 204
        length = 0 if empty else int(headers["content-length"])
        return Answer(status, headers, self.read(length))


# HTTP requests


def request(
    method: str,
    target: str,
    body: bytes | None = None,
    *headers: str,
    version: str = "1.1",
) -> bytes:
    """Return the bytes of one request; with a body, its Content-Length is added."""
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def signed(
    method: str,
    path: str,
    body: bytes = b"",
    *,
    key: str = "app-key",
    secret: str = "app-secret",  # noqa: S107 - the development app's, public by design
) -> str:
    """Return the target of an API request with its signature."""
    parameters = {
        "auth_key": key,
        "auth_timestamp": str(int(SystemClock().now())),
        "auth_version": "1.0",
    }
    if body:
        parameters["body_md5"] = rest_signature.body_md5(body)
    parameters["auth_signature"] = rest_signature.sign(secret, method, path, parameters)
    return f"{path}?{'&'.join(f'{name}={value}' for name, value in parameters.items())}"


def trigger(channel: str, event: str, data: str, *headers: str) -> bytes:
    """Return a signed ``POST /events`` to the development app."""
    body = json.dumps({"name": event, "channels": [channel], "data": data}).encode()
    return request("POST", signed("POST", "/apps/app-id/events", body), body, *headers)
