"""The server's extension where there is no scheduler: what is meant for later must not go out now.

Fields that a server does not know are ignored, as Pusher does, so an event with a time would be
published at once and its sender would think it waits. Everything else is as without it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from callboard_protocol.rest import BadRequest
from callboard_server.api import Call
from callboard_server.extensions import Facilities, Page
from callboard_server.front.request import Response, text
from callboard_server.settings import AppSettings

_REFUSAL: Final = (
    "{}: this server has no scheduler, so it cannot publish an event later: start it without "
    "--no-scheduler, or send this to the scheduler that works over it"
)


class Unscheduled:
    """Implements :class:`~callboard_server.extensions.Extension`."""

    name = "no scheduler"
    pages: Sequence[Page] = ()

    async def start(self, facilities: Facilities) -> None:
        """Nothing begins."""

    async def stop(self) -> None:
        """Nothing has begun."""

    def farewell(self) -> None:
        """Nothing ends."""

    async def reload(self, apps: Sequence[AppSettings]) -> None:
        """All apps are alike."""

    async def answer(self, call: Call) -> Response | None:
        """The server's own 404 says enough."""
        return None

    def look(self, app: AppSettings, body: bytes) -> Coroutine[Any, Any, Response] | None:
        # Both names begin so; nearly every body ends here.
        if b'"de' not in body or not _is_for_later(app, body):
            return None
        return _refuse("deliver_at" if b'"deliver_at"' in body else "delay_ms")


def _is_for_later(app: AppSettings, body: bytes) -> bool:
    # Only who asks for what is not here pays for it.
    from callboard_scheduler.errors import BadField
    from callboard_scheduler.publishing import scheduled_events

    try:
        return scheduled_events(body, app, 0) is not None
    except (BadField, BadRequest):
        # Its time is there, and that is what is to be said first.
        return True


async def _refuse(name: str) -> Response:
    return text(400, _REFUSAL.format(name))
