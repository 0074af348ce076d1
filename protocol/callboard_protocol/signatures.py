"""Channel and user signatures: ``auth = KEY:HMAC-SHA256-hex(secret, string)``.

The string is built from the exact text received and never from a re-serialised value; the
comparison takes the same time wherever the first difference lies. Source: the protocol's
"Auth signatures" page, whose vectors are in ``tests/protocol/test_signatures.py``.
"""

from __future__ import annotations

from hmac import compare_digest

from callboard_protocol.digest import signer


def channel_string(socket_id: str, channel: str, channel_data: str | None = None) -> str:
    """Return what is signed for a subscription.

    ``channel_data`` counts on every kind of channel when it was sent, not on presence alone:
    the PHP SDK's ``authorizeChannel`` signs it so.
    """
    if channel_data is None:
        return f"{socket_id}:{channel}"
    return f"{socket_id}:{channel}:{channel_data}"


def user_string(socket_id: str, user_data: str) -> str:
    """Return what is signed for ``pusher:signin``."""
    return f"{socket_id}::user::{user_data}"


def sign(secret: str, string: str) -> str:
    """Return the lower-case hex HMAC-SHA256 of ``string``."""
    return signer(secret).sign(string.encode("utf-8", "surrogatepass"))


def auth(key: str, secret: str, string: str) -> str:
    """Return the ``auth`` value a backend answers: ``KEY:signature``."""
    return f"{key}:{sign(secret, string)}"


def matches(secret: str, string: str, signature: str) -> bool:
    """Whether ``signature`` is the one of ``string``, compared in constant time."""
    return compare_digest(sign(secret, string).encode(), signature.encode("utf-8", "surrogatepass"))
