"""The scheduler's HTTP API as calls that raise this package's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callboard_client.api import ApiClient
from callboard_client.errors import ApiError
from callboard_client.signed_request import quote_segment
from callboard_scheduler.client.errors import from_api

#: A path behind ``/apps/{id}``, not yet percent-encoded, by its segments.
Path = tuple[str, ...]

_NOTHING: Mapping[str, Any] = {}


class Calls:
    """Calls of one app; every one raises :class:`Unreachable` or :class:`Refused`."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def get(self, *path: str, query: Mapping[str, str] = _NOTHING) -> dict[str, Any]:
        try:
            return await self._api.get(_encoded(path), query)
        except ApiError as error:
            raise from_api(error) from None

    async def post(self, *path: str, body: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
        try:
            return await self._api.post(_encoded(path), body)
        except ApiError as error:
            raise from_api(error) from None

    async def put(self, *path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await self._api.put(_encoded(path), body)
        except ApiError as error:
            raise from_api(error) from None

    async def delete(self, *path: str) -> dict[str, Any]:
        try:
            return await self._api.delete(_encoded(path))
        except ApiError as error:
            raise from_api(error) from None


def _encoded(path: Path) -> str:
    return "".join(f"/{quote_segment(segment)}" for segment in path)
