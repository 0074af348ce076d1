"""The taps of this process, called with whatever a broker learns: what every broker needs.

A tap is somebody else's code in the middle of a client's join or leave, so its fault is logged
here and goes no further.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec

from callboard_server.brokers import Cause, ClientEvent, Tap

logger = logging.getLogger("callboard.server")

Parameters = ParamSpec("Parameters")


class LocalTaps:
    """Taps by app; what concerns an app without taps costs one lookup."""

    def __init__(self) -> None:
        self._taps: dict[str, list[Tap]] = {}

    def add(self, tap: Tap) -> None:
        self._taps.setdefault(tap.app_id, []).append(tap)

    def discard(self, tap: Tap) -> None:
        """Remove ``tap`` if it is here."""
        taps = self._taps.get(tap.app_id, [])
        if tap in taps:
            taps.remove(tap)
        if not taps:
            self._taps.pop(tap.app_id, None)

    def clear(self) -> None:
        self._taps.clear()

    def heard(self, event: ClientEvent) -> None:
        for tap in self._following(event.app_id, event.channel):
            call(tap.heard, event)

    def joined(self, app_id: str, channel: str, socket_id: str) -> None:
        for tap in self._following(app_id, channel):
            call(tap.joined, channel, socket_id)

    def left(self, app_id: str, channel: str, socket_id: str, cause: Cause) -> None:
        for tap in self._following(app_id, channel):
            call(tap.left, channel, socket_id, cause)

    def _following(self, app_id: str, channel: str) -> list[Tap]:
        # A copy, because a tap may go when it is called.
        return [tap for tap in self._taps.get(app_id, ()) if channel.startswith(tap.prefixes)]


def call(
    method: Callable[Parameters, None], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> None:
    """Tell a tap, and log what it raises."""
    try:
        method(*args, **kwargs)
    except Exception:
        logger.exception("a tap failed in %s", method.__name__)
