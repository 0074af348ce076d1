"""The bounded queue between a connection and the reader of one channel.

A slow reader must neither grow memory without bound nor hold up the connection and with it the
other channels, so a full inbox drops its oldest event. It never does so in silence: the next read
raises :class:`EventsLost` with the count, where the gap is, and the read after goes on behind it.
"""

from __future__ import annotations

from collections import deque

from callboard_client.errors import ClientError, EventsLost
from callboard_client.events import Event


class Inbox:
    """At most ``max_events`` unread events of a channel; 0 keeps none and counts none as lost."""

    def __init__(self, channel: str, max_events: int) -> None:
        if max_events < 0:
            raise ValueError(f"max_events must be 0 or more, got {max_events}")
        self._channel = channel
        self._events: deque[Event] = deque(maxlen=max_events)
        self._lost = 0
        self._end: ClientError | None = None

    def __len__(self) -> int:
        return len(self._events)

    @property
    def end(self) -> ClientError | None:
        """Why nothing more will come, None while it may."""
        return self._end

    @property
    def readable(self) -> bool:
        """Whether :meth:`take` has an answer."""
        return bool(self._events) or self._end is not None

    def put(self, event: Event) -> None:
        events = self._events
        if len(events) == events.maxlen and events:
            self._lost += 1
        events.append(event)

    def finish(self, reason: ClientError) -> None:
        """Nothing more will come; what is unread can still be taken. The first reason stays."""
        if self._end is None:
            self._end = reason

    def take(self) -> Event:
        """Return the oldest unread event; call it when :attr:`readable`.

        Raises:
            EventsLost: events in front of the oldest unread one were dropped.
            ClientError: the reason of the end, when everything is read.
        """
        if self._lost:
            lost, self._lost = self._lost, 0
            raise EventsLost(self._channel, lost)
        if self._events:
            return self._events.popleft()
        if self._end is None:
            raise LookupError("nothing to take: wait until the inbox is readable")
        raise self._end.with_traceback(None)
