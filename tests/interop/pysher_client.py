"""pysher, used as its README shows it: subscribe in the handler of connection_established."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import pysher

from callboard_server.settings import AppSettings
from interop.inbox import WAIT_SECONDS, Inbox
from support.backend import Backend

SUBSCRIBED = "pusher_internal:subscription_succeeded"
MEMBER_ADDED = "pusher_internal:member_added"
MEMBER_REMOVED = "pusher_internal:member_removed"


def signing(app: AppSettings, user: str) -> dict[str, Any]:
    """pysher's options for a program that knows the app's secret and signs for itself."""
    return {"secret": app.secret, "user_data": Backend.member(user)}


class PysherClient:
    """A connected pysher client whose callbacks, on its own thread, leave reports for the test.

    ``options`` are those of :class:`pysher.Pusher`. Use as a context manager.
    """

    def __init__(
        self,
        app: AppSettings,
        port: int,
        channels: Sequence[str] = (),
        events: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self._channels = channels
        self._events = (SUBSCRIBED, MEMBER_ADDED, MEMBER_REMOVED, *events)
        self._auto_sub: bool = options.get("auto_sub", False)
        self._inbox = Inbox()
        self.pusher = pysher.Pusher(
            app.key, secure=False, custom_host="127.0.0.1", port=port, **options
        )
        bind = self.pusher.connection.bind
        bind("pusher:connection_established", self._connected)
        bind("pusher:error", lambda data: self._inbox.put("pusher:error", data))
        bind("pusher:ping", lambda data: self._inbox.put("pusher:ping", data))

    def __enter__(self) -> PysherClient:
        self.pusher.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The goodbye is sent before this returns. pysher's thread may miss the answer (both of its
        # threads read the socket) and then ends by itself after 100 s; nobody need wait for it.
        self.pusher.disconnect(timeout=0)

    @property
    def socket_id(self) -> str:
        """The id of the connection as pysher keeps it."""
        socket_id: str = self.pusher.connection.socket_id
        return socket_id

    def hear(self, event: str, channel: str = "", timeout: float = WAIT_SECONDS) -> Any:
        """Return the data of the next such event.

        pysher hands over a channel event's data as the string that came; it is decoded here if
        it is JSON, as pusher-js does by itself.
        """
        if not channel:
            return self._inbox.take(event, timeout)
        data = self._inbox.take(f"{channel} {event}", timeout)
        try:
            return json.loads(data)
        except json.JSONDecodeError:
            return data

    def trigger(self, channel: str, event: str, data: Any) -> None:
        """Send a client event."""
        self.pusher.channel(channel).trigger(event, data)

    def _connected(self, data: str) -> None:
        self._inbox.put("pusher:connection_established", json.loads(data))
        for name in self._channels:
            if self._auto_sub and self.pusher.channel(name) is not None:
                continue
            channel = self.pusher.subscribe(name)
            for event in self._events:
                channel.bind(event, self._heard, name, event)

    def _heard(self, data: str, channel: str, event: str) -> None:
        self._inbox.put(f"{channel} {event}", data)
