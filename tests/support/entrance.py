"""Ways into a server: plain, TLS, a Unix socket; with the headers of browsers and proxies.

Requests are signed here from the documentation's text, not with ``callboard_protocol``.
"""

from __future__ import annotations

import hmac
import http.client
import json
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from hashlib import md5
from typing import Any, NamedTuple

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from callboard_server.clock import SystemClock
from callboard_server.settings import AppSettings

#: How long anything awaited may take before a test fails, in seconds.
PATIENCE_SECONDS = 10.0
SHOP = AppSettings(id="1", key="shop-key", secret="shop-secret", client_events=True)

Message = dict[str, Any]


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    text: str


class Entrance:
    """One way into a server; what is connected through it ends with the test's stack."""

    def __init__(
        self,
        stack: ExitStack,
        *,
        port: int = 0,
        path: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._stack = stack
        self._port = port
        self._path = path
        self._tls = tls

    def connect(self, *, receive_buffer_bytes: int | None = None) -> socket.socket:
        """Connect; by TLS, if it is that way, with the handshake done."""
        family = socket.AF_INET if self._path is None else socket.AF_UNIX
        sock = self._stack.enter_context(socket.socket(family))
        sock.settimeout(PATIENCE_SECONDS)
        if receive_buffer_bytes is not None:
            # Before connecting, because the window is agreed upon then.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.connect(self._path or ("127.0.0.1", self._port))
        if self._tls is None:
            return sock
        return self._stack.enter_context(
            self._tls.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
        )

    def websocket(
        self,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        receive_buffer_bytes: int | None = None,
    ) -> WebSocket:
        """Ask for a WebSocket and read the handshake; nothing else is read."""
        sock = self.connect(receive_buffer_bytes=receive_buffer_bytes)
        return WebSocket(sock, target, headers or {})

    def client(
        self,
        app: AppSettings = SHOP,
        headers: Mapping[str, str] | None = None,
        prefix: str = "",
        *,
        receive_buffer_bytes: int | None = None,
    ) -> Client:
        """Connect a Pusher client."""
        connection = self.websocket(
            f"{prefix}/app/{app.key}?protocol=7",
            headers,
            receive_buffer_bytes=receive_buffer_bytes,
        )
        return Client(connection, app)

    def refused(
        self, app: AppSettings = SHOP, headers: Mapping[str, str] | None = None, prefix: str = ""
    ) -> tuple[int, str]:
        """Connect, and return with what code and message that was refused."""
        return refusal(self.websocket(f"{prefix}/app/{app.key}?protocol=7", headers))

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("localhost", timeout=PATIENCE_SECONDS)
        connection.sock = self.connect()
        connection.request(method, target, body or None, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.read().decode())

    def trigger(
        self,
        channel: str,
        data: str = "d",
        app: AppSettings = SHOP,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Trigger the event ``e`` on one channel."""
        body = json.dumps({"name": "e", "channel": channel, "data": data}).encode()
        path = f"/apps/{app.id}/events"
        return self.request("POST", f"{path}?{signed(app, path, body)}", body, headers)


class Closed(Exception):
    """The server has ended the connection; ``code`` is None if it was cut."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class WebSocket:
    """A WebSocket that reads only while it is asked to, on the thread that asks.

    The library's own blocking client reads on a thread of its own, which OpenSSL does not allow
    while another one writes (before Python 3.13 nothing keeps them apart).
    """

    def __init__(self, sock: socket.socket, target: str, headers: Mapping[str, str]) -> None:
        self.socket = sock
        self._protocol = ClientProtocol(parse_uri(f"ws://localhost{target}"))
        self._frames: deque[Frame] = deque()
        request = self._protocol.connect()
        request.headers.update(headers)
        self._protocol.send_request(request)
        while self._protocol.state is State.CONNECTING:
            self._exchange()
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc

    def send(self, text: str) -> None:
        self._protocol.send_text(text.encode())
        self._flush()

    def receive(self) -> str:
        """Return the next text message, or raise Closed."""
        while not self._frames:
            if self._protocol.close_expected() or self._protocol.state is State.CLOSED:
                raise Closed(self._protocol.close_rcvd.code if self._protocol.close_rcvd else None)
            self._exchange()
        return bytes(self._frames.popleft().data).decode()

    def close(self) -> None:
        """Say goodbye and wait for the answer."""
        self._protocol.send_close(1000)
        while self._protocol.state is not State.CLOSED:
            self._exchange()
        self.socket.close()

    def _exchange(self) -> None:
        self._flush()
        data = self.socket.recv(65536)
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._frames.append(event)
        self._flush()

    def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what the server has sent before it went is still to be read


class Client:
    """A Pusher client that has connected."""

    def __init__(self, connection: WebSocket, app: AppSettings) -> None:
        self.connection = connection
        self.app = app
        established = self.receive()
        assert established["event"] == "pusher:connection_established", established
        self.socket_id: str = json.loads(established["data"])["socket_id"]

    def send(self, event: str, data: object = None, **keys: object) -> None:
        message = {"event": event, "data": {} if data is None else data, **keys}
        self.connection.send(json.dumps(message))

    def receive(self) -> Message:
        message: Message = json.loads(self.connection.receive())
        return message

    def hears(self, channel: str, data: str = "d") -> None:
        """The next frame is the event ``e``."""
        assert self.receive() == {"event": "e", "channel": channel, "data": data}

    def quiet(self) -> None:
        """Nothing else was sent to this client, and it is still answered."""
        self.send("pusher:ping")
        assert self.receive()["event"] == "pusher:pong"

    def ask(self, channel: str, secret: str | None = None) -> Message:
        """Subscribe, signed as the app's backend does; return the answer."""
        string = f"{self.socket_id}:{channel}"
        signature = hmac_hex(secret or self.app.secret, string)
        auth = {} if secret is None and "private-" not in channel else {"auth": signature}
        if auth:
            auth["auth"] = f"{self.app.key}:{signature}"
        self.send("pusher:subscribe", {"channel": channel, **auth})
        return self.receive()

    def subscribe(self, channel: str) -> None:
        answer = self.ask(channel)
        assert answer["event"] == "pusher_internal:subscription_succeeded", answer

    def ended(self) -> tuple[int, str]:
        """Return with what code and message the server has ended the connection."""
        return refusal(self.connection)


def refusal(connection: WebSocket) -> tuple[int, str]:
    """Return the code and text of ``pusher:error``, behind which comes a close of the same code."""
    error = json.loads(connection.receive())
    assert error["event"] == "pusher:error", error
    try:
        more = connection.receive()
    except Closed as end:
        assert end.code == error["data"]["code"]
        return error["data"]["code"], error["data"]["message"]
    raise AssertionError(f"sent behind the error: {more}")


def hmac_hex(secret: str, string: str) -> str:
    return hmac.new(secret.encode(), string.encode(), "sha256").hexdigest()


def signed(app: AppSettings, path: str, body: bytes = b"", method: str = "POST") -> str:
    """Return the signed query of a request to ``path``."""
    parameters = {
        "auth_key": app.key,
        "auth_timestamp": str(int(SystemClock().now())),
        "auth_version": "1.0",
    }
    if body:
        parameters["body_md5"] = md5(body, usedforsecurity=False).hexdigest()
    query = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    signature = hmac_hex(app.secret, f"{method}\n{path}\n{query}")
    return f"{query}&auth_signature={signature}"
