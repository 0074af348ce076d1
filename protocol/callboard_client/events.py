"""What a service says, as :class:`Event`, and what this side says, as JSON text in bytes.

Services differ in small things, so reading is lenient where a difference cannot mislead:

1. ``data`` should be a JSON string; some services send the object itself. Either becomes the
   JSON text, and missing data becomes the empty string.
2. ``pusher:error`` should carry an object; Reverb sends it as a string.
3. Optional keys may be null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from callboard_protocol.channels import json_type

PING: Final = b'{"event":"pusher:ping","data":{}}'
PONG: Final = b'{"event":"pusher:pong","data":{}}'

_INTERNAL: Final = "pusher_internal:"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on a channel.

    ``data`` is the string received, most often JSON text. ``user_id`` is the sender's, on client
    events of presence channels only. ``channel`` is empty for what concerns the connection.
    """

    event: str
    channel: str
    data: str
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class ServerError:
    """A ``pusher:error``: ``code`` is None when it answers one message."""

    code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Established:
    """``pusher:connection_established``; the timeout is None when the service names none."""

    socket_id: str
    activity_timeout_seconds: float | None


class BadFrame(ValueError):
    """A service's frame could not be understood; ``str()`` says what was expected."""


def decode(text: bytes | str) -> Event:
    """Read one text frame of a service.

    Raises:
        BadFrame: not JSON, not an object, or without an event name.
    """
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadFrame(f"expected a frame of JSON: {error}") from None
    if not isinstance(frame, dict):
        raise BadFrame(f"expected a JSON object with an event, got {json_type(frame)}")
    event = frame.get("event")
    channel = frame.get("channel")
    if not isinstance(event, str):
        raise BadFrame(f"expected a JSON object with an event, got {str(frame)[:80]}")
    if channel is not None and not isinstance(channel, str):
        raise BadFrame(f"expected channel to be a string, got {json_type(channel)}")
    user_id = frame.get("user_id")
    return Event(
        event,
        channel or "",
        _text(frame.get("data")),
        None if user_id is None else _text(user_id),
    )


def established(event: Event) -> Established:
    """Read ``pusher:connection_established``.

    Raises:
        BadFrame: without a socket id.
    """
    data = json_object(event.data)
    socket_id = data.get("socket_id")
    if not isinstance(socket_id, str) or not socket_id:
        raise BadFrame(f"expected a socket_id in {event.event}, got {event.data[:80]!r}")
    timeout = data.get("activity_timeout")
    usable = isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0
    return Established(socket_id, timeout if usable else None)


def server_error(event: Event) -> ServerError:
    """Read ``pusher:error``; whatever it holds, it is an error with some text."""
    data = json_object(event.data)
    code = data.get("code")
    message = data.get("message")
    return ServerError(
        code if isinstance(code, int) and not isinstance(code, bool) else None,
        message if isinstance(message, str) else event.data,
    )


def public_name(event: str) -> str:
    """Return the name that an application binds to: ``pusher_internal:x`` is ``pusher:x``."""
    return "pusher:" + event[len(_INTERNAL) :] if event.startswith(_INTERNAL) else event


def json_object(text: str) -> dict[str, Any]:
    """Return the object that ``text`` holds, an empty one when it holds anything else."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()


# To the service


def subscribe(channel: str, auth: str, channel_data: str | None) -> bytes:
    """``pusher:subscribe``; ``auth`` is empty for a public channel, as pusher-js sends it."""
    data = {"auth": auth, "channel": channel}
    if channel_data is not None:
        data["channel_data"] = channel_data
    return orjson.dumps({"event": "pusher:subscribe", "data": data})


def unsubscribe(channel: str) -> bytes:
    return orjson.dumps({"event": "pusher:unsubscribe", "data": {"channel": channel}})


def client_event(event: str, channel: str, data: object) -> bytes:
    """A client event; ``data`` goes as the JSON value it is, as pusher-js sends it.

    Raises:
        TypeError: ``data`` is not JSON.
    """
    return orjson.dumps({"event": event, "channel": channel, "data": data})
