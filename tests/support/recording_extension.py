"""An extension that notes what it is told, and does what its test gives it to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from callboard_server.api import Call
from callboard_server.brokers import Cause, ClientEvent
from callboard_server.extensions import Facilities, Page
from callboard_server.front.request import Request, Response
from callboard_server.settings import AppSettings


async def unknown(call: Call) -> Response | None:
    """Know no call."""
    return None


class RecordingExtension:
    """Implements :class:`~callboard_server.extensions.Extension`; reserves every app's channels.

    It is also a tap of what it reserves.
    """

    name = "recording"
    prefixes: tuple[str, ...] = ("private-sched.", "private-cache-sched.", "presence-sched.")

    def __init__(
        self, *pages: Page, answers: Callable[[Call], Awaitable[Response | None]] = unknown
    ):
        self.pages: Sequence[Page] = pages
        self._answers = answers
        #: What has happened, in order: one tuple each.
        self.noted: list[tuple[object, ...]] = []
        self.facilities: Facilities | None = None
        self.app_id = ""

    async def start(self, facilities: Facilities) -> None:
        self.facilities = facilities
        self.noted.append(("start", [app.id for app in facilities.apps]))
        for app in facilities.apps:
            facilities.reservations.add(app.id)
        self.app_id = next(app.id for app in facilities.apps)
        await facilities.broker.tap(self)

    async def stop(self) -> None:
        self.noted.append(("stop",))

    def farewell(self) -> None:
        self.noted.append(("farewell",))

    async def reload(self, apps: Sequence[AppSettings]) -> None:
        self.noted.append(("reload", [app.id for app in apps]))

    async def answer(self, call: Call) -> Response | None:
        return await self._answers(call)

    def look(self, app: AppSettings, body: bytes) -> Coroutine[Any, Any, Response] | None:
        if b"later" not in body:
            return None
        return self._take(app, body)

    async def _take(self, app: AppSettings, body: bytes) -> Response:
        self.noted.append(("took", app.id, body))
        await asyncio.sleep(0)
        return Response(200, b'{"taken":true}')

    # Tap

    def heard(self, event: ClientEvent) -> None:
        self.noted.append(("heard", event.channel, event.socket_id, event.event, event.data))

    def joined(self, channel: str, socket_id: str) -> None:
        self.noted.append(("joined", channel, socket_id))

    def left(self, channel: str, socket_id: str, cause: Cause) -> None:
        self.noted.append(("left", channel, socket_id, cause))


def page(
    path: str,
    answer: Callable[[Request], Coroutine[Any, Any, Response]],
    *methods: str,
    max_body_bytes: int = 1024,
) -> Page:
    return Page(path, methods or ("POST",), max_body_bytes, answer)
