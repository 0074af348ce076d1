"""API requests that wait, fail or have a large answer, as their headers ask for it."""

from __future__ import annotations

import asyncio

import pytest

from callboard_server.api import Api
from callboard_server.front.request import Request, Response


class Gate:
    """Stands before the API's handler; must be there before the server starts.

    ``X-Wait`` lets a request wait until the gate is opened, ``X-Fail`` lets it fail,
    ``X-Size`` answers with so many bytes.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._opened = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        handle = Api.handle

        async def pass_gate(api: Api, asked: Request) -> Response:
            if asked.header(b"x-wait"):
                self._loop = asyncio.get_running_loop()
                await self._opened.wait()
            if asked.header(b"x-fail"):
                raise RuntimeError("on purpose")
            if size := asked.header(b"x-size"):
                return Response(200, b"x" * int(size))
            return await handle(api, asked)

        monkeypatch.setattr(Api, "handle", pass_gate)

    def open(self) -> None:
        """Let requests pass, those that wait already too."""
        if self._loop is None:
            self._opened.set()
        else:
            self._loop.call_soon_threadsafe(self._opened.set)
