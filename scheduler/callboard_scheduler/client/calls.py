"""The scheduler's HTTP API as calls that raise this package's errors."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from types import TracebackType
from typing import Any, Self

from callboard_client.api import ApiClient
from callboard_client.errors import ApiError
from callboard_client.signed_request import quote_segment
from callboard_scheduler.client.errors import from_api

_NOTHING: Mapping[str, Any] = {}


class Calls:
    """Calls of one app; ``async with`` it.

    A path is given by its segments behind ``/apps/{id}``, as they are. Every call raises
    Unreachable or Refused. ``at`` is the app's URL, for texts.
    """

    def __init__(self, api: ApiClient, at: str) -> None:
        self._api = api
        self._at = at
        self._open = False

    async def __aenter__(self) -> Self:
        await self._api.__aenter__()
        self._open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open = False
        await self._api.__aexit__(exc_type, exc, traceback)

    async def get(self, *path: str, query: Mapping[str, str] = _NOTHING) -> dict[str, Any]:
        return await self._answer(self._api.get(_encoded(path), query))

    async def post(self, *path: str, body: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
        return await self._answer(self._api.post(_encoded(path), body))

    async def put(self, *path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._answer(self._api.put(_encoded(path), body))

    async def delete(self, *path: str) -> dict[str, Any]:
        return await self._answer(self._api.delete(_encoded(path)))

    async def _answer(self, call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        try:
            return await call
        except ApiError as error:
            raise from_api(error, self._at) from None
        except RuntimeError:
            if self._open:
                raise
            raise RuntimeError(
                "the client is not open: use it as: async with AsyncClient(url) as client"
            ) from None


def _encoded(path: tuple[str, ...]) -> str:
    return "".join(f"/{quote_segment(segment)}" for segment in path)
