"""What a client says and what it hears, as JSON text in bytes.

Rules of the protocol page that the SDKs' parsers turned into law:

1. ``data`` of everything the server sends is a JSON *string*, but for ``pusher:error``, where
   it is an object (the .NET, Swift and Pysher clients break on the other form).
2. An optional key that has no value is left out, never null (the Java client crashes).
3. ``subscription_succeeded`` has ``"data":"{}"`` to the letter on all but presence channels
   (Swift never calls back without it; Java's encrypted channels decrypt anything else).
4. Frames about the connection carry no ``channel`` key (Pysher would route them to a channel).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from callboard_protocol.channels import MAX_USER_ID_LENGTH, json_type, user_id_fault

PING: Final = b'{"event":"pusher:ping","data":"{}"}'
PONG: Final = b'{"event":"pusher:pong","data":"{}"}'

#: Most bytes of a presence member's ``channel_data`` (hosted Pusher documents 1 KB).
MAX_USER_BYTES: Final = 1024


class BadMessage(ValueError):
    """A client's message could not be understood; ``str()`` is the text for ``pusher:error``."""


class NotAuthorized(BadMessage):
    """What the client sent to show that the app vouches for it does not."""


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """One message of a client: ``data`` is whatever JSON value it sent, None when missing."""

    event: str
    channel: str | None
    data: Any


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """The data of ``pusher:subscribe``; empty ``auth`` is the same as none."""

    channel: str
    auth: str | None
    channel_data: str | None


@dataclass(frozen=True, slots=True)
class SigninRequest:
    """The data of ``pusher:signin``; ``user_data`` is the text that was signed."""

    auth: str
    user_data: str


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in user: ``user_info`` is its JSON text, ``watchlist`` the ids to watch."""

    user_id: str
    user_info: bytes | None
    watchlist: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A presence member: ``user_info`` is its JSON text, None when it was not given."""

    user_id: str
    user_info: bytes | None = None


# From the client


def decode_client_message(text: bytes | str) -> ClientMessage:
    """Parse one text frame of a client.

    Raises:
        BadMessage: not JSON, not an object, or an ``event`` or ``channel`` of the wrong type.
    """
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadMessage(f"Invalid JSON: {error}") from None
    if not isinstance(message, dict):
        raise BadMessage(f"Expected a JSON object with an event, got {json_type(message)}")
    event = message.get("event")
    if not isinstance(event, str):
        found = "nothing" if "event" not in message else json_type(event)
        raise BadMessage(f"Expected parameter event to be a string, got {found}")
    channel = message.get("channel")
    if channel is not None and not isinstance(channel, str):
        raise BadMessage(f"Expected parameter channel to be a string, got {json_type(channel)}")
    return ClientMessage(event, channel, message.get("data"))


def parameters(message: ClientMessage) -> dict[str, Any]:
    """Return a message's ``data`` as an object, also when a client sent it as JSON in a string.

    Raises:
        BadMessage: anything else.
    """
    data = message.data
    if isinstance(data, str):
        try:
            data = orjson.loads(data)
        except orjson.JSONDecodeError:
            data = message.data
    if not isinstance(data, dict):
        raise BadMessage("Expected parameter data to be a hash")
    return data


def parse_subscribe(message: ClientMessage) -> SubscribeRequest:
    """Read ``pusher:subscribe``; pusher-js sends ``auth: ""`` for public channels.

    Raises:
        BadMessage: no channel, or a part that is not a string.
    """
    data = parameters(message)
    return SubscribeRequest(
        channel=_text(data, "channel", required=True) or "",
        auth=_text(data, "auth") or None,
        channel_data=_text(data, "channel_data"),
    )


def parse_unsubscribe(message: ClientMessage) -> str:
    """Read ``pusher:unsubscribe`` and return its channel.

    Raises:
        BadMessage: no channel, or not a string.
    """
    return _text(parameters(message), "channel", required=True) or ""


def parse_member(channel_data: str) -> Member:
    """Read a presence subscription's ``channel_data``: ``{"user_id": …, "user_info"?: …}``.

    A numeric ``user_id`` becomes a string: the documentation signs ``10``, and the .NET and
    Java clients look ids up as strings.

    Raises:
        BadMessage: not such an object, or beyond the limits (128 characters, 1 KB).
    """
    if len(channel_data.encode("utf-8", "surrogatepass")) > MAX_USER_BYTES:
        raise BadMessage(f"Invalid channel_data: larger than the {MAX_USER_BYTES} bytes allowed")
    try:
        data = orjson.loads(channel_data)
    except orjson.JSONDecodeError as error:
        raise BadMessage(f"Invalid channel_data: not JSON ({error})") from None
    if not isinstance(data, dict):
        raise BadMessage(f"Invalid channel_data: expected an object, got {json_type(data)}")
    user_id = data.get("user_id")
    # A float, as orjson also reads a whole number of more than 64 bits, is nobody's id.
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if not isinstance(user_id, str) or not user_id:
        found = "nothing" if "user_id" not in data else json_type(user_id)
        if isinstance(user_id, float):
            found = "a number that is no whole one of 64 bits"
        found = "an empty string" if user_id == "" else found
        raise BadMessage(f"Invalid channel_data: user_id must be a non-empty string, got {found}")
    if len(user_id) > MAX_USER_ID_LENGTH:
        raise BadMessage(
            f"Invalid channel_data: user_id has {len(user_id)} characters, "
            f"but at most {MAX_USER_ID_LENGTH} are allowed"
        )
    info = data.get("user_info")
    return Member(user_id, None if info is None else _json(info, "channel_data: user_info"))


def parse_signin(message: ClientMessage) -> SigninRequest:
    """Read ``pusher:signin``.

    Raises:
        BadMessage: no ``auth`` or ``user_data``, or not strings.
    """
    data = parameters(message)
    return SigninRequest(
        auth=_text(data, "auth", required=True) or "",
        user_data=_text(data, "user_data", required=True) or "",
    )


def parse_user(user_data: str) -> User:
    """Read the signed ``user_data``: ``{"id": …, "user_info"?: …, "watchlist"?: […]}``.

    The whole watchlist is returned; its limit is the caller's, since more is no refusal.

    Raises:
        BadMessage: not such an object.
    """
    try:
        data = orjson.loads(user_data)
    except orjson.JSONDecodeError as error:
        raise BadMessage(f"Invalid user_data: not JSON ({error})") from None
    if not isinstance(data, dict):
        raise BadMessage(f"Invalid user_data: expected an object, got {json_type(data)}")
    user_id = data.get("id")
    if not isinstance(user_id, str) or not user_id:
        found = "nothing" if "id" not in data else json_type(user_id)
        found = "an empty string" if user_id == "" else found
        raise BadMessage(f"Invalid user_data: id must be a non-empty string, got {found}")
    if fault := user_id_fault(user_id):
        raise BadMessage(f"Invalid user_data: {fault}")
    watchlist = data.get("watchlist")
    if watchlist is None:
        watchlist = []
    if not isinstance(watchlist, list) or not all(isinstance(each, str) for each in watchlist):
        raise BadMessage("Invalid user_data: watchlist must be an array of user ids (strings)")
    info = data.get("user_info")
    return User(
        user_id,
        None if info is None else _json(info, "user_data: user_info"),
        tuple(dict.fromkeys(watchlist)),
    )


def client_event_data(data: Any) -> str:
    """Return a client event's data as the string it is relayed as.

    A string stays as it is, an object becomes its JSON text (the .NET client and the webhook
    want a string), and nothing becomes ``{}`` (Java and Swift read ``data`` unguarded).

    Raises:
        BadMessage: nested too deeply.
    """
    if isinstance(data, str):
        return data
    return "{}" if data is None else _json(data, "client event data").decode()


def _text(data: dict[str, Any], name: str, *, required: bool = False) -> str | None:
    value = data.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str):
        if name not in data:
            raise BadMessage(f"Missing parameter: data.{name}")
        raise BadMessage(f"Expected parameter data.{name} to be a string, got {json_type(value)}")
    return value


def _json(value: Any, name: str) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # It reads 1024 levels and writes 254; nothing else can be wrong with what was JSON.
        raise BadMessage(f"Invalid {name}: nested too deeply") from None


# To the client


def connection_established(socket_id: str, activity_timeout_seconds: int) -> bytes:
    """The first frame: ``activity_timeout`` is never zero (pusher-js throws on it)."""
    data = {"socket_id": socket_id, "activity_timeout": activity_timeout_seconds}
    return _frame("pusher:connection_established", None, data)


def error(message: str, code: int | None = None) -> bytes:
    """``pusher:error``; ``code`` None answers one message, a number also says what to do."""
    return orjson.dumps({"event": "pusher:error", "data": {"code": code, "message": message}})


def subscription_succeeded(channel: str) -> bytes:
    """Answer a subscription to anything but a presence channel."""
    return channel_event("pusher_internal:subscription_succeeded", channel, "{}")


def presence_succeeded(channel: str, members: Mapping[str, bytes | None]) -> bytes:
    """Answer a presence subscription; ``members`` maps user id to info, the newcomer included.

    The .NET and Java clients need ``ids`` and every id in ``hash``; pusher-js reads ``hash``
    and ``count``.
    """
    presence = {
        "ids": list(members),
        "hash": {
            user: None if info is None else orjson.Fragment(info) for user, info in members.items()
        },
        "count": len(members),
    }
    return _frame("pusher_internal:subscription_succeeded", channel, {"presence": presence})


def member_added(channel: str, member: Member) -> bytes:
    """Tell the others of a user's first connection in the channel."""
    data: dict[str, Any] = {"user_id": member.user_id}
    if member.user_info is not None:
        data["user_info"] = orjson.Fragment(member.user_info)
    return _frame("pusher_internal:member_added", channel, data)


def member_removed(channel: str, user_id: str) -> bytes:
    """Tell the others of a user's last connection in the channel."""
    return _frame("pusher_internal:member_removed", channel, {"user_id": user_id})


def cache_miss(channel: str) -> bytes:
    """Tell a new subscriber of a cache channel that there is no event to begin with."""
    return channel_event("pusher:cache_miss", channel, "{}")


def subscription_count(channel: str, count: int) -> bytes:
    """Tell a channel's subscribers how many they are."""
    return _frame("pusher_internal:subscription_count", channel, {"subscription_count": count})


def signin_success(user_data: str) -> bytes:
    """Answer ``pusher:signin``, echoing the text that was signed."""
    return _frame("pusher:signin_success", None, {"user_data": user_data})


def watchlist_events(online: Sequence[str], offline: Sequence[str]) -> bytes:
    """Tell a watcher who of its watchlist has come or gone; an empty list is left out."""
    events = [
        {"name": name, "user_ids": list(users)}
        for name, users in (("online", online), ("offline", offline))
        if users
    ]
    return _frame("pusher_internal:watchlist_events", None, {"events": events})


def channel_event(event: str, channel: str, data: str, user_id: str | None = None) -> bytes:
    """An event of a channel; ``user_id`` only for client events on presence channels."""
    message = {"event": event, "channel": channel, "data": data}
    if user_id is not None:
        message["user_id"] = user_id
    return orjson.dumps(message)


def _frame(event: str, channel: str | None, data: object) -> bytes:
    message = {"event": event}
    if channel is not None:
        message["channel"] = channel
    message["data"] = orjson.dumps(data).decode()
    return orjson.dumps(message)
