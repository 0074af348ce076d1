"""A backend that is told of an app by webhooks: a real HTTP server that a test can take down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple

import orjson
from aiohttp import web

#: How long anything awaited may take before a test fails, in seconds.
PATIENCE_SECONDS = 10.0

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Received(NamedTuple):
    """A request as it came: header names in lower case, the body's exact bytes."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = orjson.loads(self.body)["events"]
        return events


class WebhookReceiver:
    """Listens on 127.0.0.1, notes each request, and answers as :attr:`answer` says (204).

    Use as an async context manager; :meth:`stop` and :meth:`start` take it down and up again on
    the same port.
    """

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[Received] = []
        self.answer: Answer = no_content
        self._changed = asyncio.Condition()
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events that were told, in the order of their requests."""
        return [event for request in self.requests for event in request.events]

    async def __aenter__(self) -> WebhookReceiver:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def wait_for_events(self, count: int) -> list[dict[str, Any]]:
        """Return the events once there are ``count``, or fail."""
        await self._wait(lambda: len(self.events) >= count)
        events = self.events
        assert len(events) == count, events
        return events

    async def wait_for_requests(self, count: int) -> list[Received]:
        """Return the requests once there are ``count``, or fail."""
        await self._wait(lambda: len(self.requests) >= count)
        requests = list(self.requests)
        assert len(requests) == count, requests
        return requests

    async def _wait(self, enough: Callable[[], bool]) -> None:
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(enough), PATIENCE_SECONDS)
            except TimeoutError:
                raise AssertionError(f"only came: {self.requests}") from None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with self._changed:
            self.requests.append(Received(request.path, headers, body))
            self._changed.notify_all()
        return await self.answer(request)


async def no_content(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=204)


def statuses(*numbers: int) -> Answer:
    """Answer with these statuses one after the other, and 204 from then on."""
    left = list(numbers)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=left.pop(0) if left else 204)

    return answer
