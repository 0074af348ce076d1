"""The texts and codes for a mistake: one table for close codes, one function per error text.

Two families, as the protocol has them:

1. A :class:`Refusal` ends the connection: ``pusher:error`` with the code, then a WebSocket
   close with the same code. Its range tells an SDK what to do next (:func:`retry_advice`).
2. An error text answers one message and leaves the connection up: ``pusher:error`` with
   ``"code": null`` (or 4301 for the client event rate).

The texts are those of hosted Pusher as quoted in SDK issues; where none is known, ours name
what was wrong and what was expected.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection ends: a close code of the Pusher protocol and its reason."""

    code: int
    message: str


class RetryAdvice(enum.Enum):
    """What a close code asks of the client (protocol page, "Error codes")."""

    #: 4000-4099: the same connection would be refused again.
    NEVER = "never"
    #: 4100-4199 and codes below 4000: after a second or more.
    BACK_OFF = "back off"
    #: 4200-4299: at once.
    AT_ONCE = "at once"


def retry_advice(code: int) -> RetryAdvice:
    """Return what a client should do after a close with ``code``, as pusher-js reads it."""
    if code < 4000 or 4100 <= code <= 4199:
        return RetryAdvice.BACK_OFF
    if 4200 <= code <= 4299:
        return RetryAdvice.AT_ONCE
    return RetryAdvice.NEVER


TLS_ONLY: Final = Refusal(4000, "App accepts connections over TLS only")
APP_DISABLED: Final = Refusal(4003, "App is disabled")
OVER_QUOTA: Final = Refusal(4004, "Account over quota: the app has reached its max_connections")
NOT_AUTHORIZED_IN_TIME: Final = Refusal(4009, "Connection not authorized within timeout")
TERMINATED: Final = Refusal(4009, "Connection terminated: the app ended this user's connections")
OVER_CAPACITY: Final = Refusal(4100, "Server is shutting down or over capacity")
INTERNAL_ERROR: Final = Refusal(4100, "Server error: please reconnect")
TOO_SLOW: Final = Refusal(4100, "Connection reads too slowly: its outgoing buffer is full")
EXPELLED: Final = Refusal(4100, "Connection ended by the scheduler: please reconnect")
RECONNECT: Final = Refusal(4200, "Please reconnect immediately")
NO_PONG: Final = Refusal(4201, "Pong reply not received in time")

#: ``pusher:error`` codes that leave the connection up: too many client events, and a watchlist
#: of which only the beginning is watched.
CLIENT_EVENT_RATE_CODE: Final = 4301
WATCHLIST_CODE: Final = 4302


def unknown_key(key: str) -> Refusal:
    """Refuse a connection whose path names no app's key."""
    return Refusal(
        4001,
        f"App key {key[:100]} not in this cluster. Did you forget to specify the cluster?",
    )


def unknown_path(path: str) -> Refusal:
    """Refuse a WebSocket on a path other than ``/app/{key}``."""
    return Refusal(4005, f"Path not found: {path[:100]} (expected /app/{{key}})")


def malformed_version(value: str) -> Refusal:
    """Refuse a ``protocol`` parameter that is not an integer."""
    return Refusal(4006, f"Invalid version string format: {value[:40]!r} is not an integer")


def unsupported_version(value: int, supported: tuple[int, ...]) -> Refusal:
    """Refuse a protocol version this server does not speak."""
    known = ", ".join(map(str, supported))
    return Refusal(4007, f"Unsupported protocol version {str(value)[:20]} (supported: {known})")


def origin_refused(origin: str) -> Refusal:
    """Refuse a browser whose page is not one the app allows."""
    return Refusal(4009, f"Origin not allowed: {origin[:100]}")


def existing_subscription(channel: str) -> str:
    return f"Existing subscription to channel {channel}"


def no_subscription(channel: str) -> str:
    return f"No current subscription to channel {channel}, or subscription in progress"


def auth_required(channel: str) -> str:
    return f"Auth info required to subscribe to {channel}"


def malformed_auth(channel: str) -> str:
    return (
        f"Auth value for subscription to {channel} is invalid: should be of format 'key:signature'"
    )


def unknown_auth_key(key: str) -> str:
    return f"Invalid key in subscription auth data: '{key[:100]}'"


def wrong_signature(string_to_sign: str, given: str) -> str:
    return (
        f"Invalid signature: Expected HMAC SHA256 hex digest of {string_to_sign}, "
        f"but got {given[:128]}"
    )


def channel_data_required(channel: str) -> str:
    return (
        f"Missing parameter: channel_data is required to subscribe to {channel} "
        '(a JSON string with "user_id")'
    )


def member_too_large(limit: int) -> str:
    return f"Invalid user_data: user_info is larger than the {limit} bytes allowed for a member"


def presence_full(channel: str, limit: int) -> str:
    return f"Presence channel {channel} is full: it has reached its limit of {limit} members"


def too_many_channels(limit: int) -> str:
    return f"Over the limit of {limit} channels for a connection: unsubscribe from one first"


def watchlist_too_long(length: int, limit: int) -> str:
    return f"Watchlist too long ({length} > {limit}): only the first {limit} users are watched"


def other_user(user_id: str) -> str:
    return f"Connection is already signed in as another user ({user_id})"


def not_that_user(channel: str) -> str:
    return f"Cannot subscribe to {channel}: sign in as that user first"


def client_events_off() -> str:
    return (
        "To send client events, you must enable this feature in the Settings page of your "
        "dashboard. (On Callboard: client_events = true in the app's [[apps]] section.)"
    )


def not_a_subscriber(channel: str) -> str:
    return f"Cannot broadcast client event (connection not subscribed to channel {channel})"


def reserved_channel(event: str, channel: str) -> str:
    return (
        f"Client event {event[:100]!r} rejected: {channel} is reserved for the task scheduler, "
        "where workers send client-sched on their own channels and nobody sends anything else"
    )


def not_that_worker(string_to_sign: str, given: str) -> str:
    return (
        "Invalid signature: a worker's channel is not opened by the app's ordinary one. Ask "
        f"POST /sched/auth, with a worker's token, for the one of {string_to_sign} "
        f"(got {given[:128]})"
    )


MALFORMED_CLIENT_EVENT: Final = "Invalid client event (must contain channel and data)"
CLIENT_EVENT_CHANNEL: Final = (
    "Client event rejected - only supported on private and presence channels"
)
MALFORMED_SIGNIN_AUTH: Final = (
    "Auth value for signin is invalid: should be of format 'key:signature'"
)
CLIENT_EVENT_RATE: Final = (
    "Client event rate limit exceeded: at most {limit} events per second for a connection"
)
BINARY_FRAME: Final = "Binary frames are not supported: send JSON in text frames"


def payload_too_large(limit: int) -> str:
    return f"The data content of this event exceeds the allowed maximum ({limit} bytes)"


def unsupported_event(socket_id: str, event: str) -> str:
    return f"Unsupported event received on socket: {socket_id} ({event[:100]!r})"
