"""A client of the service, and the signatures a backend would give it.

Nothing is signed with ``callboard_protocol``: the strings are built here from the text of the
documentation, so that a mistake on one side is not agreed with by the other.

Nothing sleeps. That a client heard *nothing* is shown by a fence (:meth:`Client.quiet`): its
``pusher:ping`` must be answered next, and frames of one connection keep their order.
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from callboard_server.settings import AppSettings

#: How long anything awaited may take before a test fails, in seconds.
PATIENCE_SECONDS = 10.0
PONG = '{"event":"pusher:pong","data":"{}"}'

Message = dict[str, Any]


def app(**changes: Any) -> AppSettings:
    """Return the settings of an app with client events, or with what ``changes`` says."""
    defaults: dict[str, Any] = {"id": "1001", "key": "key-1", "secret": "secret-1"}
    return AppSettings(**{**defaults, "client_events": True, **changes})


def other_app(**changes: Any) -> AppSettings:
    """Return the settings of a second app, for what must not reach from one to the other."""
    return app(**{"id": "1002", "key": "key-2", "secret": "secret-2", **changes})


def hmac_hex(secret: str, string: str) -> str:
    return hmac.new(secret.encode(), string.encode(), "sha256").hexdigest()


def user_json(user_id: object, **fields: object) -> str:
    """Return ``user_data`` as a backend writes it, with the spaces ``json.dumps`` puts in."""
    return json.dumps({"id": user_id, **fields})


def member_json(user_id: object, **fields: object) -> str:
    """Return ``channel_data`` as a backend writes it."""
    return json.dumps({"user_id": user_id, **fields})


def succeeded(channel: str) -> str:
    """Return the frame that answers a subscription to anything but a presence channel."""
    return (
        '{"event":"pusher_internal:subscription_succeeded","channel":"%s","data":"{}"}' % channel  # noqa: UP031 - braces
    )


class Client:
    """A WebSocket client that shows every frame as it came."""

    def __init__(self, socket: ClientConnection, app: AppSettings) -> None:
        self.app = app
        self._socket = socket
        established = self.receive()
        assert established["event"] == "pusher:connection_established", established
        self.socket_id: str = json.loads(established["data"])["socket_id"]

    # Frames

    def send(self, **message: object) -> None:
        self._socket.send(json.dumps(message))

    def receive_text(self) -> str:
        text = self._socket.recv(timeout=PATIENCE_SECONDS)
        assert isinstance(text, str)
        return text

    def receive(self) -> Message:
        message: Message = json.loads(self.receive_text())
        return message

    def hears(self, event: str, channel: str, data: str = "d") -> None:
        """The next frame is this event."""
        assert self.receive() == {"event": event, "channel": channel, "data": data}

    def data_of(self, event: str, channel: str | None = None) -> Any:
        """Return the decoded data of the next frame, which must be ``event``."""
        message = self.receive()
        assert message["event"] == event, message
        assert message.get("channel") == channel, message
        assert isinstance(message["data"], str), message
        return json.loads(message["data"])

    def error(self, code: int | None = None) -> str:
        """Return the text of the next frame, which must be an error of this code."""
        message = self.receive()
        # A channel key would send it astray in some SDKs.
        assert message.keys() == {"event", "data"}, message
        assert message["event"] == "pusher:error", message
        assert message["data"].keys() == {"code", "message"}, message
        assert message["data"]["code"] == code, message
        text: str = message["data"]["message"]
        return text

    def quiet(self) -> None:
        """Check that nothing else was sent to this client, and that the server still answers it."""
        self.send(event="pusher:ping", data={})
        assert self.receive_text() == PONG

    # Subscribing

    def sign(self, channel: str, channel_data: str | None = None) -> str:
        """Return what the app's own endpoint would answer for this connection."""
        parts = [self.socket_id, channel] + ([] if channel_data is None else [channel_data])
        return f"{self.app.key}:{hmac_hex(self.app.secret, ':'.join(parts))}"

    def ask(self, channel: str, channel_data: str | None = None, **changes: object) -> None:
        """Send ``pusher:subscribe``, signed where the channel demands it; read no answer."""
        private = channel.startswith(("private-", "presence-"))
        data: dict[str, object] = {"channel": channel}
        data["auth"] = self.sign(channel, channel_data) if private else ""
        if channel_data is not None:
            data["channel_data"] = channel_data
        self.send(event="pusher:subscribe", data={**data, **changes})

    def subscribe(self, *channels: str) -> None:
        """Subscribe to channels without presence, and read the answers."""
        for channel in channels:
            self.ask(channel)
            assert self.receive_text() == succeeded(channel)

    def enter(self, channel: str, user_id: object = None, **fields: object) -> Message:
        """Subscribe to a presence channel and return who is there.

        Without a user id it is asked as the user who is signed in: without ``channel_data``.
        """
        self.ask(channel, None if user_id is None else member_json(user_id, **fields))
        presence: Message = self.data_of("pusher_internal:subscription_succeeded", channel)
        return presence["presence"]  # type: ignore[no-any-return]

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe; there is no answer."""
        self.send(event="pusher:unsubscribe", data={"channel": channel})

    # Signing in

    def sign_user(self, user_data: str) -> str:
        string = f"{self.socket_id}::user::{user_data}"
        return f"{self.app.key}:{hmac_hex(self.app.secret, string)}"

    def ask_to_sign_in(self, user_data: str, **changes: object) -> None:
        """Send ``pusher:signin`` with the right signature and read no answer."""
        data = {"auth": self.sign_user(user_data), "user_data": user_data, **changes}
        self.send(event="pusher:signin", data=data)

    def sign_in(self, user_id: str, **fields: object) -> None:
        """Sign in and read the answer, but not what the watchlist brings."""
        user_data = user_json(user_id, **fields)
        self.ask_to_sign_in(user_data)
        assert self.data_of("pusher:signin_success") == {"user_data": user_data}

    # The end

    def close(self) -> None:
        """Say goodbye and wait for the answer; the server has then forgotten this client."""
        self._socket.close()

    def closed(self) -> int:
        """Return the code of the close frame that must come next."""
        try:
            surplus = self._socket.recv(timeout=PATIENCE_SECONDS)
        except ConnectionClosed as end:
            assert end.rcvd is not None, "cut without a close frame"
            return end.rcvd.code
        raise AssertionError(f"still open, and heard {surplus!r}")

    def ended(self, code: int) -> str:
        """Check that the server ends the connection with ``code``; return the reason it gave."""
        text = self.error(code)
        assert self.closed() == code
        return text
