"""A broker that takes its time, as one behind a network does: its calls wait at their doors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from callboard_server.brokers.memory import MemoryBroker


class Doors:
    """Lets calls of the memory broker wait until their door is opened."""

    def __init__(self, patch: pytest.MonkeyPatch, *methods: str) -> None:
        self._opened = {method: asyncio.Event() for method in methods}
        self._loop: asyncio.AbstractEventLoop | None = None
        for method in methods:
            patch.setattr(MemoryBroker, method, self._door(method, getattr(MemoryBroker, method)))

    def _door(
        self, name: str, method: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        async def wait_and_call(*arguments: Any, **options: Any) -> Any:
            self._loop = asyncio.get_running_loop()
            await self._opened[name].wait()
            return await method(*arguments, **options)

        return wait_and_call

    def open(self, method: str) -> None:
        if self._loop is None:
            self._opened[method].set()
        else:
            self._loop.call_soon_threadsafe(self._opened[method].set)
