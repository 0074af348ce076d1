"""Who is still here: a set that can be waited on until it is empty."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Roster(Generic[Item]):
    """Things that come and go; the end of the server waits until they have gone."""

    def __init__(self) -> None:
        self._items: set[Item] = set()
        self._empty: asyncio.Event | None = None

    def __iter__(self) -> Iterator[Item]:
        return iter(tuple(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Enter ``item``; twice is the same as once."""
        self._items.add(item)

    def discard(self, item: Item) -> None:
        """Remove ``item`` if it is here."""
        self._items.discard(item)
        if self._empty is not None and not self._items:
            self._empty.set()

    async def wait_empty(self, seconds: float) -> bool:
        """Wait until nobody is here, for ``seconds`` at most; return whether nobody is."""
        if self._items:
            self._empty = asyncio.Event()
            try:
                await asyncio.wait_for(self._empty.wait(), seconds)
            except TimeoutError:
                return False
            finally:
                self._empty = None
        return True
