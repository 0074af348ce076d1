"""The signed-in users of this process, and who here watches whom.

Who is online is the broker's to say; this knows only to which connections it must be told. Like
events behind a subscription, changes wait behind the answer to a sign-in, and those that the
answer already has are not told twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from callboard_protocol import messages
from callboard_server.brokers import Serial


class Watcher(Protocol):
    """A connection, as one who is told of users."""

    def send(self, payload: bytes) -> None:
        """Queue one message for this client alone."""


W = TypeVar("W", bound=Watcher)
_Key = tuple[str, str]


class SignedInUsers(Generic[W]):
    """Connections by the user they are signed in as, and by the users they watch."""

    def __init__(self) -> None:
        self._connections: dict[_Key, set[W]] = {}
        self._watchers: dict[_Key, set[W]] = {}
        self._waiting: dict[W, list[tuple[Serial, str, bool]]] = {}

    def connections(self, app_id: str, user_id: str) -> Sequence[W]:
        """Return the connections of a user."""
        return tuple(self._connections.get((app_id, user_id), ()))

    def begin(self, connection: W, app_id: str, user_id: str, watchlist: Iterable[str]) -> None:
        """Enter a connection, and hold changes for it until :meth:`confirm`."""
        self._connections.setdefault((app_id, user_id), set()).add(connection)
        for watched in watchlist:
            self._watchers.setdefault((app_id, watched), set()).add(connection)
        self._waiting[connection] = []

    def confirm(self, connection: W, serial: Serial) -> None:
        """Tell what waited and is newer than the answer of ``serial``, then changes as they come.

        The answer itself must have been sent before.
        """
        for place, user_id, online in self._waiting.pop(connection, ()):
            if place.epoch != serial.epoch or place.n > serial.n:
                connection.send(_changed(user_id, online))

    def remove(self, connection: W, app_id: str, user_id: str, watchlist: Iterable[str]) -> None:
        """Undo :meth:`begin`."""
        self._waiting.pop(connection, None)
        _discard(self._connections, (app_id, user_id), connection)
        for watched in watchlist:
            _discard(self._watchers, (app_id, watched), connection)

    def changed(self, app_id: str, user_id: str, online: bool, serial: Serial) -> None:
        """Tell this process's watchers of a user."""
        watchers = self._watchers.get((app_id, user_id))
        if not watchers:
            return
        payload = _changed(user_id, online)
        for connection in watchers:
            waiting = self._waiting.get(connection)
            if waiting is None:
                connection.send(payload)
            else:
                waiting.append((serial, user_id, online))


def _changed(user_id: str, online: bool) -> bytes:
    return messages.watchlist_events([user_id] if online else [], [] if online else [user_id])


def _discard(index: dict[_Key, set[W]], key: _Key, connection: W) -> None:
    found = index.get(key)
    if found is not None:
        found.discard(connection)
        if not found:
            del index[key]
