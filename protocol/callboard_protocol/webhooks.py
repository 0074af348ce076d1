"""What a backend is told of an app, as the body of a signed POST, and how it checks one.

The body is ``{"time_ms": …, "events": […]}``, its time in milliseconds of Unix time (the official
Python SDK refuses a body more than 300 seconds old). The signature covers the exact bytes sent.
Source: the documentation's "Webhooks" page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, Final

import orjson

from callboard_protocol.digest import signer

KEY_HEADER: Final = "X-Pusher-Key"
SIGNATURE_HEADER: Final = "X-Pusher-Signature"
#: To the letter: the Node SDK refuses it with a charset behind.
CONTENT_TYPE: Final = "application/json"

#: RFC 9110: a field's name is a token, and its value has no control characters.
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: What says how the request is sent, which is the sender's alone.
_SENDERS: Final = frozenset(
    {"connection", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


class BadWebhook(ValueError):
    """A request is no webhook of the app; ``str()`` says why, and repeats no secret."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A genuine request: when it was made, in milliseconds, and its events in order."""

    time_ms: int
    events: tuple[Mapping[str, Any], ...]


# Events


def channel_occupied(channel: str) -> bytes:
    """The channel has its first subscription."""
    return _event("channel_occupied", channel)


def channel_vacated(channel: str) -> bytes:
    """The channel has lost its last subscription."""
    return _event("channel_vacated", channel)


def member_added(channel: str, user_id: str) -> bytes:
    """The user's first connection is in the presence channel."""
    return _event("member_added", channel, user_id=user_id)


def member_removed(channel: str, user_id: str) -> bytes:
    """The user's last connection has left the presence channel."""
    return _event("member_removed", channel, user_id=user_id)


def client_event(
    channel: str, event: str, data: str, socket_id: str, user_id: str | None = None
) -> bytes:
    """A client has sent an event; ``data`` is a string, ``user_id`` is for presence channels."""
    who = {} if user_id is None else {"user_id": user_id}
    return _event("client_event", channel, event=event, data=data, socket_id=socket_id, **who)


def cache_miss(channel: str) -> bytes:
    """A subscriber of the cache channel found no event."""
    return _event("cache_miss", channel)


def subscription_count(channel: str, count: int) -> bytes:
    """The channel has ``count`` subscriptions."""
    return _event("subscription_count", channel, subscription_count=count)


# Requests


def body(time_ms: int, events: Sequence[bytes]) -> bytes:
    """Return the body that tells ``events``, made at ``time_ms``."""
    return b'{"time_ms":%d,"events":[%b]}' % (time_ms, b",".join(events))


def signed_headers(key: str, secret: str, body: bytes) -> dict[str, str]:
    """Return the headers of a POST of exactly these bytes."""
    return {
        "Content-Type": CONTENT_TYPE,
        KEY_HEADER: key,
        SIGNATURE_HEADER: signer(secret).sign(body),
    }


def header_fault(name: str, value: str) -> str | None:
    """Say why a header cannot be added to webhooks, or return None; the value is not repeated."""
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        return f"{name!r} is not the name of an HTTP header"
    if lower in _SENDERS or lower.startswith(("content-", "x-pusher-", "proxy-")):
        return f"{name} is set by the server; leave it out"
    if _CONTROL.search(value):
        return f"the value of {name} has a control character, which no HTTP header may"
    return None


def receive(headers: Mapping[str, str], body: bytes, *, key: str, secret: str) -> Webhook:
    """Check a request's signature and read it.

    ``headers`` may be in any case. How old a request may be is for the receiver to say, since
    one that is retried keeps its time.

    Raises:
        BadWebhook: not signed with this key and secret, or not the body of a webhook.
    """
    given = {name.lower(): value for name, value in headers.items()}
    claimed, signature = given.get(KEY_HEADER.lower()), given.get(SIGNATURE_HEADER.lower())
    if claimed is None or signature is None:
        raise BadWebhook(f"expected the headers {KEY_HEADER} and {SIGNATURE_HEADER}")
    if claimed != key:
        raise BadWebhook(f"signed for the key {claimed[:100]!r}, expected {key!r}")
    expected = signer(secret).sign(body).encode()
    if not compare_digest(expected, signature.encode("utf-8", "surrogatepass")):
        raise BadWebhook(
            f"{SIGNATURE_HEADER} is not the HMAC-SHA256 of the body with the app's secret; "
            "check the bytes as they came, before any JSON parser"
        )
    return _read(body)


def _read(body: bytes) -> Webhook:
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadWebhook(f"the body is not JSON: {error}") from None
    match read:
        case {"time_ms": int(time_ms), "events": [*events]} if all(
            isinstance(event, dict) for event in events
        ):
            return Webhook(time_ms, tuple(events))
    raise BadWebhook('expected the body {"time_ms": <number>, "events": [<objects>]}')


def _event(name: str, channel: str, **fields: str | int) -> bytes:
    return orjson.dumps({"name": name, "channel": channel, **fields})
