"""Channel names: what they may look like and what their prefix promises.

A prefix counts only at the very start of a name (``my-private-x`` is public). The longest
prefix wins, so ``private-encrypted-`` is not read as ``private-`` plus ``encrypted-``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

#: Longest channel name hosted Pusher documents, prefix included.
MAX_CHANNEL_NAME_LENGTH: Final = 164
#: Longest event name; the server SDKs refuse more before they send.
MAX_EVENT_NAME_LENGTH: Final = 200
#: Longest presence or signed-in user id.
MAX_USER_ID_LENGTH: Final = 128

SERVER_TO_USER_PREFIX: Final = "#server-to-user-"

_NAME = re.compile(r"[A-Za-z0-9_\-=@,.;]+", re.ASCII)
_SOCKET_ID = re.compile(r"[0-9]+\.[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """What a channel's prefix promises to those who subscribe and publish."""

    prefix: str
    #: Subscribing needs a signature of the app's secret.
    private: bool = False
    #: Subscribers are members with a user id, and hear of one another.
    presence: bool = False
    #: Event data is ciphertext; the server never reads it.
    encrypted: bool = False
    #: The last event of the API is kept, and is the first thing a new subscriber hears.
    cache: bool = False

    @property
    def client_events(self) -> bool:
        """Whether subscribers may send ``client-`` events here."""
        return self.private


PUBLIC: Final = ChannelKind("")
PRIVATE: Final = ChannelKind("private-", private=True)
ENCRYPTED: Final = ChannelKind("private-encrypted-", private=True, encrypted=True)
PRESENCE: Final = ChannelKind("presence-", private=True, presence=True)
CACHE: Final = ChannelKind("cache-", cache=True)
PRIVATE_CACHE: Final = ChannelKind("private-cache-", private=True, cache=True)
ENCRYPTED_CACHE: Final = ChannelKind(
    "private-encrypted-cache-", private=True, encrypted=True, cache=True
)
PRESENCE_CACHE: Final = ChannelKind("presence-cache-", private=True, presence=True, cache=True)
SERVER_TO_USER: Final = ChannelKind(SERVER_TO_USER_PREFIX)

#: The longest prefixes first: the first that fits is the one that counts.
KINDS: Final = (
    ENCRYPTED_CACHE,
    ENCRYPTED,
    PRIVATE_CACHE,
    PRIVATE,
    PRESENCE_CACHE,
    PRESENCE,
    CACHE,
    SERVER_TO_USER,
)


_PREFIXES: Final = tuple(kind.prefix for kind in KINDS)
_LONGEST_PREFIX: Final = max(map(len, _PREFIXES))


def kind_of(name: str) -> ChannelKind:
    """Return the kind that the start of ``name`` says; ``PUBLIC`` when no prefix fits."""
    if not name.startswith(_PREFIXES):
        return PUBLIC
    # Also asked about names that are yet to be refused, which may be long and must not be kept.
    return _kind_of(name[:_LONGEST_PREFIX])


@lru_cache(maxsize=4096)
def _kind_of(start: str) -> ChannelKind:
    return next(kind for kind in KINDS if start.startswith(kind.prefix))


def channel_name_fault(name: object, max_length: int = MAX_CHANNEL_NAME_LENGTH) -> str | None:
    """Say what is wrong with a channel name, or None when it may be used.

    Hosted Pusher allows ASCII letters, digits and ``_-=@,.;``; ``#`` is reserved for the
    server's own channels and never passes here.
    """
    if not isinstance(name, str):
        return f"Invalid channel name: expected a string, got {json_type(name)}"
    if not name:
        return "Invalid channel name: it is empty"
    if len(name) > max_length:
        return (
            f"Invalid channel name: {len(name)} characters, "
            f"but at most {max_length} are allowed ({name[:40]}…)"
        )
    if _NAME.fullmatch(name) is None:
        return (
            f"Invalid channel name {name[:200]!r}: only ASCII letters, digits and "
            "the characters _ - = @ , . ; are allowed"
        )
    return None


def event_name_fault(name: object, max_length: int = MAX_EVENT_NAME_LENGTH) -> str | None:
    """Say what is wrong with an event name, or None when it may be used."""
    if not isinstance(name, str):
        return f"Invalid event name: expected a string, got {json_type(name)}"
    if not name:
        return "Invalid event name: it is empty"
    if len(name) > max_length:
        return f"Invalid event name: {len(name)} characters, but at most {max_length} are allowed"
    return None


def user_id_fault(user_id: str) -> str | None:
    """Say what is wrong with a signed-in user's id, or None when it may be used.

    It becomes part of a channel's name, so it has the same characters (the PHP SDK checks them).
    """
    if len(user_id) > MAX_USER_ID_LENGTH:
        return f"id has {len(user_id)} characters, but at most {MAX_USER_ID_LENGTH} are allowed"
    if _NAME.fullmatch(user_id) is None:
        return (
            f"id {user_id!r} may have only ASCII letters, digits and the characters _ - = @ , . ;"
        )
    return None


def is_socket_id(value: object) -> bool:
    """Whether ``value`` looks as every server SDK demands before it signs: ``123.456``."""
    return isinstance(value, str) and len(value) <= 64 and _SOCKET_ID.fullmatch(value) is not None


def json_type(value: object) -> str:
    """Name a decoded JSON value's type as the sender knows it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"
