"""The apps whose ``sched.`` channels belong to a task scheduler on this server.

While an app is in here, on its channels of :mod:`callboard_protocol.reserved`

1. a worker's channel is subscribed to with a signature by ``worker_key``, and not with the app's
   ordinary one, which an application may give to anyone who is logged in;
2. ``client-sched`` of a worker on its own channel reaches the scheduler and nobody else, whatever
   ``client_events`` says, with limits of its own; any other client event is refused;
3. nothing is told to webhooks whose ``channel_prefix`` does not itself name reserved channels.

For any other app they are channels like all others: a scheduler elsewhere may use them.
"""

from __future__ import annotations

from callboard_protocol.reserved import is_reserved, worker_of


class Reservations:
    """Which apps have a scheduler here."""

    def __init__(self) -> None:
        self._app_ids: set[str] = set()

    def add(self, app_id: str) -> None:
        """From now on its channels are reserved; those already subscribed stay so."""
        self._app_ids.add(app_id)

    def discard(self, app_id: str) -> None:
        """Its channels are like any others."""
        self._app_ids.discard(app_id)

    def holds(self, app_id: str, channel: str) -> bool:
        """Whether the channel belongs to the app's scheduler."""
        return app_id in self._app_ids and is_reserved(channel)

    def holds_worker(self, app_id: str, channel: str) -> bool:
        """Whether the channel is one of a worker of the app's scheduler."""
        return self.holds(app_id, channel) and worker_of(channel) is not None
