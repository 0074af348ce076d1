"""A running server, and a client and a backend that share no code with it.

Signatures are computed here with :mod:`hmac` from the documentation's text and never with
``callboard_protocol``, so that a mistake in one is not agreed with by the other.

Nothing here sleeps. That a client heard *nothing* is shown by a fence (:meth:`Client.quiet`): it
sends ``pusher:ping`` and the next frame must be the pong. Frames of one connection keep their
order, so whatever was sent to it before would have come first.
"""

from __future__ import annotations

import asyncio
import hmac
import http.client
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from hashlib import md5
from typing import Any, NamedTuple
from urllib.parse import quote

from websockets.sync.client import connect

from callboard_server.background import BackgroundServer
from callboard_server.clock import SystemClock
from callboard_server.extensions import Extension
from callboard_server.server import Server
from callboard_server.settings import AppSettings, Settings

#: How long anything awaited may take before a test fails, in seconds.
PATIENCE_SECONDS = 10.0

Message = dict[str, Any]


def app(**changes: Any) -> AppSettings:
    """Return the settings of an app with client events, or with what ``changes`` says."""
    defaults: dict[str, Any] = {"id": "1001", "key": "key-1", "secret": "secret-1"}
    return AppSettings(**{**defaults, "client_events": True, **changes})


def hmac_hex(secret: str, string: str) -> str:
    return hmac.new(secret.encode(), string.encode(), "sha256").hexdigest()


def auth(app: AppSettings, socket_id: str, channel: str, channel_data: str | None = None) -> str:
    """Return what the app's own endpoint would answer a client that wants to subscribe."""
    parts = [socket_id, channel] if channel_data is None else [socket_id, channel, channel_data]
    return f"{app.key}:{hmac_hex(app.secret, ':'.join(parts))}"


def member_data(user_id: object, user_info: object = None) -> str:
    """Return ``channel_data`` as a backend writes it, with the spaces ``json.dumps`` puts in."""
    info = {} if user_info is None else {"user_info": user_info}
    return json.dumps({"user_id": user_id, **info})


class Client:
    """A WebSocket client that shows every frame as it came."""

    def __init__(self, port: int, app: AppSettings) -> None:
        self.app = app
        url = f"ws://127.0.0.1:{port}/app/{app.key}?protocol=7&client=test&version=1.0"
        self._stack = ExitStack()
        # With a bounded queue, a client that does not read would not see its close answered.
        self._socket = self._stack.enter_context(
            connect(url, proxy=None, compression=None, ping_interval=None, max_queue=None)
        )
        established = self.receive()
        assert established["event"] == "pusher:connection_established", established
        self.socket_id: str = json.loads(established["data"])["socket_id"]

    def send_text(self, text: str) -> None:
        self._socket.send(text)

    def send(self, **message: object) -> None:
        self.send_text(json.dumps(message))

    def receive_text(self) -> str:
        text = self._socket.recv(timeout=PATIENCE_SECONDS)
        assert isinstance(text, str)
        return text

    def receive(self) -> Message:
        message: Message = json.loads(self.receive_text())
        return message

    def error(self) -> str:
        """Return the text of the next frame, which must be an error that ends nothing."""
        message = self.receive()
        assert message.keys() == {"event", "data"}, message
        assert message["event"] == "pusher:error", message
        assert message["data"].keys() == {"code", "message"}
        assert message["data"]["code"] is None
        text: str = message["data"]["message"]
        return text

    def quiet(self) -> None:
        """Check that nothing else was sent to this client, and that the server still answers it."""
        self.send(event="pusher:ping", data={})
        assert self.receive_text() == '{"event":"pusher:pong","data":"{}"}'

    def quiet_but_for(self, event: str) -> int:
        """Check that only ``event`` was sent to this client; return how often."""
        self.send(event="pusher:ping", data={})
        heard = 0
        while (message := self.receive())["event"] != "pusher:pong":
            assert message["event"] == event, message
            heard += 1
        return heard

    # Subscribing

    def sign(self, channel: str, channel_data: str | None = None) -> str:
        return auth(self.app, self.socket_id, channel, channel_data)

    def ask(self, channel: object, **data: object) -> None:
        """Send ``pusher:subscribe`` with exactly this data."""
        self.send(event="pusher:subscribe", data={"channel": channel, **data})

    def subscribe(self, channel: str) -> None:
        """Subscribe to a public or private channel."""
        self.ask(channel, auth=self.sign(channel) if channel.startswith("private-") else "")
        assert self.receive() == {
            "event": "pusher_internal:subscription_succeeded",
            "channel": channel,
            "data": "{}",
        }

    def enter(self, channel: str, user_id: object, user_info: object = None) -> Message:
        """Subscribe to a presence channel and return who is there."""
        data = member_data(user_id, user_info)
        self.ask(channel, auth=self.sign(channel, data), channel_data=data)
        answer = self.receive()
        assert answer["event"] == "pusher_internal:subscription_succeeded", answer
        assert answer["channel"] == channel
        presence: Message = json.loads(answer["data"])["presence"]
        return presence

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe, and wait until it is done: there is no answer to it."""
        self.send(event="pusher:unsubscribe", data={"channel": channel})
        self.quiet()

    # The end

    def close(self) -> None:
        """Say goodbye and wait for the answer; the server has then forgotten this client."""
        self._stack.close()

    def cut(self) -> None:
        """Vanish without a goodbye."""
        self._socket.socket.shutdown(socket.SHUT_RDWR)


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    content_type: str
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def ok(self) -> Message:
        """Return the JSON object of a success, in the one form that every server SDK accepts."""
        assert (self.status, self.content_type) == (200, "application/json"), self
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    def refusal(self, status: int) -> str:
        """Return the text of a refusal, without the newline that ends it."""
        assert self.status == status, self
        assert self.content_type.startswith("text/plain"), self
        assert self.text.endswith("\n")
        assert "\n" not in self.text[:-1]
        return self.text[:-1]


def signed_query(
    app: AppSettings,
    method: str,
    path: str,
    parameters: Mapping[str, str],
    body: bytes,
    **changes: str | None,
) -> str:
    """Return a signed query; ``changes`` are made before signing, None leaves a name out."""
    signed: dict[str, str | None] = {
        **parameters,
        "auth_key": app.key,
        "auth_timestamp": str(int(SystemClock().now())),
        "auth_version": "1.0",
    }
    if body:
        signed["body_md5"] = md5(body, usedforsecurity=False).hexdigest()
    signed.update(changes)
    pairs = sorted((name, value) for name, value in signed.items() if value is not None)
    string = "&".join(f"{name}={value}" for name, value in pairs)
    signature = hmac_hex(app.secret, f"{method}\n{path}\n{string}")
    pairs.append(("auth_signature", signature))
    return "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in pairs)


class AppServer:
    """A server of some apps on a free port; the first app is the one meant unless another is named.

    Leaving it closes its clients and fails if anything on its loop went wrong unnoticed.
    """

    def __init__(
        self, *apps: AppSettings, extensions: Sequence[Extension] = (), **settings: Any
    ) -> None:
        self.app, *_ = self.apps = apps or (app(),)
        self._background = BackgroundServer(
            Settings(port=0, apps=self.apps, **settings), extensions=extensions
        )
        self._stack = ExitStack()
        self._faults: list[str] = []

    def __enter__(self) -> AppServer:
        self._stack.enter_context(self._background)
        self._background.call(self._watch)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        assert self._faults == []

    def _watch(self, server: Server) -> None:
        def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            self._faults.append(f"{context.get('message')}: {context.get('exception')!r}")

        asyncio.get_running_loop().set_exception_handler(note)

    def hold_time(self, seconds: float) -> None:
        """Let the clock that client events are counted by stand at ``seconds``."""

        def hold(server: Server) -> None:
            server.hub.time = lambda: seconds

        self._background.call(hold)

    def on_server(self, function: Callable[[Server], object]) -> None:
        """Run ``function(server)`` on the server's thread and wait for it."""
        self._background.call(function)

    def stop(self) -> None:
        """End the server while its clients are still here."""
        self._background.stop()

    def reload(self, *apps: AppSettings) -> None:
        """Let the server have these apps."""
        self._background.reload(Settings(port=0, apps=apps))

    @property
    def port(self) -> int:
        return self._background.port

    def client(self, app: AppSettings | None = None) -> Client:
        """Connect a client; it is closed at the end of the test."""
        client = Client(self.port, app or self.app)
        self._stack.callback(client.close)
        return client

    # The HTTP API

    def get(self, path: str, app: AppSettings | None = None, **parameters: str) -> Answer:
        """Call ``/apps/{id}/{path}`` with these parameters, signed."""
        app = app or self.app
        path = f"/apps/{app.id}/{path}"
        return self.send("GET", path, signed_query(app, "GET", path, parameters, b""))

    def post(self, path: str, value: object, app: AppSettings | None = None) -> Answer:
        """Send JSON, or bytes as they are, to ``/apps/{id}/{path}``, signed."""
        app = app or self.app
        path = f"/apps/{app.id}/{path}"
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.send("POST", path, signed_query(app, "POST", path, {}, body), body)

    def trigger(self, channels: str | list[str], name: str = "e", data: str = "d") -> None:
        """Trigger an event and return when the server has taken it."""
        names = [channels] if isinstance(channels, str) else channels
        answer = self.post("events", {"name": name, "channels": names, "data": data})
        assert answer.ok() == {}

    def send(self, method: str, path: str, query: str = "", body: bytes = b"") -> Answer:
        """Send one request exactly as given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            target = f"{path}?{query}" if query else path
            connection.request(method, target, body or None, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return Answer(response.status, response.headers["Content-Type"], response.read())
        finally:
            connection.close()
