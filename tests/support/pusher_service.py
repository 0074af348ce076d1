"""A running service whose time a test can move on, called as a backend calls it.

Requests are signed here from the text of the documentation, as its clients'
(:mod:`support.pusher_client`) subscriptions are.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import md5
from typing import Any, Self
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from callboard_server.background import BackgroundServer
from callboard_server.brokers.memory import MemoryBroker
from callboard_server.clock import SystemClock
from callboard_server.server import Server
from callboard_server.settings import AppSettings, Settings
from support.pusher_client import PATIENCE_SECONDS, Client, Message, app, hmac_hex


@dataclass(frozen=True)
class Answer:
    """An HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def ok(self) -> Message:
        """Return the JSON object of a success, in the one form that every server SDK accepts."""
        assert (self.status, self.headers["content-type"]) == (200, "application/json"), self
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    def refusal(self, status: int) -> str:
        """Return the text of a refusal, which must be one line of plain text with its newline."""
        assert self.status == status, self
        assert self.headers["content-type"] == "text/plain; charset=utf-8", self
        text = self.body.decode()
        assert text.endswith("\n")
        assert text[:-1].strip(), "it says nothing"
        assert "\n" not in text[:-1]
        return text[:-1]


class Service:
    """A server of some apps on a free port; the first app is the one meant unless one is named.

    Leaving it closes its clients and fails if anything on its loop went wrong unnoticed.
    """

    def __init__(self, *apps: AppSettings, **settings: Any) -> None:
        self.app, *_ = self.apps = apps or (app(),)
        # Nobody is pinged for silence while time is moved on.
        settings.setdefault("activity_timeout_seconds", 1_000_000)
        self._background = BackgroundServer(Settings(port=0, apps=self.apps, **settings))
        self._stack = ExitStack()
        self._faults: list[str] = []
        self._ahead_seconds = 0.0

    def __enter__(self) -> Self:
        self._stack.enter_context(self._background)
        self._background.call(self._take_over)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        assert self._faults == []

    def _take_over(self, server: Server) -> None:
        def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            self._faults.append(f"{context.get('message')}: {context.get('exception')!r}")

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(note)
        self._time = loop.time
        assert isinstance(server.broker, MemoryBroker)
        server.hub.time = server.broker.time = lambda: self._time() + self._ahead_seconds

    def on_server(self, function: Callable[[Server], object]) -> None:
        """Run ``function(server)`` on the server's thread and wait for it."""
        self._background.call(function)

    @property
    def port(self) -> int:
        return self._background.port

    def skip(self, seconds: float) -> None:
        """Let the server believe that time has passed; what was due meanwhile has happened."""
        self._ahead_seconds += seconds
        self._background.call(lambda server: server.deadlines.advance(server.hub.time()))

    def hold_time(self) -> None:
        """Let time stand still but for :meth:`skip`."""
        held: list[float] = []
        self._background.call(lambda server: held.append(self._time()))
        self._time = lambda: held[0]
        # Far ahead, so that the server's own look at the clock moves nothing.
        self.skip(3600)

    # Clients

    def open(self, target: str) -> ClientConnection:
        """Open a WebSocket; it is closed at the end of the test."""
        # With a bounded queue, a client that does not read would not see its close answered.
        return self._stack.enter_context(
            connect(
                f"ws://127.0.0.1:{self.port}{target}",
                proxy=None,
                compression=None,
                ping_interval=None,
                max_queue=None,
            )
        )

    def client(self, app: AppSettings | None = None) -> Client:
        """Connect a client as pusher-js does."""
        app = app or self.app
        return Client(self.open(f"/app/{app.key}?protocol=7&client=js&version=8.6.0"), app)

    def refused(self, code: int, target: str | None = None) -> str:
        """Check that one who connects is refused in the one form all SDKs understand."""
        socket = self.open(target or f"/app/{self.app.key}?protocol=7")
        error = json.loads(socket.recv(timeout=PATIENCE_SECONDS))
        assert error["event"] == "pusher:error", error
        assert error["data"]["code"] == code, error
        try:
            socket.recv(timeout=PATIENCE_SECONDS)
        except ConnectionClosed as end:
            assert end.rcvd is not None and end.rcvd.code == code
        text: str = error["data"]["message"]
        return text

    # The HTTP API

    def get(self, path: str, app: AppSettings | None = None, /, **parameters: str) -> Answer:
        """Call ``/apps/{id}/{path}`` with these parameters, signed."""
        return self.call("GET", self._path(path, app), b"", app, **parameters)

    def post(
        self, path: str, body: object, app: AppSettings | None = None, /, **parameters: str
    ) -> Answer:
        """Send JSON, or bytes as they are, to ``/apps/{id}/{path}``, signed."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", self._path(path, app), data, app, **parameters)

    def _path(self, path: str, app: AppSettings | None) -> str:
        return f"/apps/{(app or self.app).id}/{path}"

    def trigger(self, channel: str, name: str = "e", data: str = "d", **fields: object) -> None:
        """Trigger an event and return when the server has taken it."""
        body = {"name": name, "channel": channel, "data": data, **fields}
        assert self.post("events", body).ok() == {}

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        app: AppSettings | None = None,
        /,
        **parameters: str,
    ) -> Answer:
        """Send a request for ``path`` as it is, signed by ``app``."""
        pairs = list(parameters.items())
        return self.send(
            method, path, signed_query(app or self.app, method, path, pairs, body), body
        )

    def send(
        self, method: str, path: str, query: str = "", body: bytes = b"", *, quoted: bool = False
    ) -> Answer:
        """Send one request exactly as given, but for a path that is not ``quoted`` yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            path = path if quoted else quote(path)
            target = f"{path}?{query}" if query else path
            connection.request(method, target, body or None, {"Content-Type": "application/json"})
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()


def signed_query(
    app: AppSettings,
    method: str,
    path: str,
    parameters: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> str:
    """Return the query of a request, signed as the documentation's worked example is."""
    pairs = [
        *parameters,
        ("auth_key", app.key),
        ("auth_timestamp", str(int(SystemClock().now()))),
        ("auth_version", "1.0"),
    ]
    if body:
        pairs.append(("body_md5", md5(body, usedforsecurity=False).hexdigest()))
    pairs.sort(key=lambda pair: pair[0])
    string = "&".join(f"{name}={value}" for name, value in pairs)
    pairs.append(("auth_signature", hmac_hex(app.secret, f"{method}\n{path}\n{string}")))
    return "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in pairs)
