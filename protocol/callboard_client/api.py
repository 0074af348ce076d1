"""The signed HTTP API of one app: trigger events, ask who is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from yarl import URL

from callboard_client.clock import unix_time
from callboard_client.errors import ApiError
from callboard_client.signed_request import (
    Credentials,
    batch_body,
    quote_segment,
    signed_query,
    trigger_body,
)
from callboard_protocol import __version__

_NO_PARAMETERS: Mapping[str, str] = {}


class ApiClient:
    """Calls the API of the app in ``http://KEY:SECRET@HOST:PORT/apps/ID``.

    ``async with`` it: one HTTP session serves all calls. ``clock`` returns Unix time in seconds;
    services refuse a request that is more than ten minutes off.

    Every call raises :class:`ApiError` when the service answers other than 2xx with a JSON
    object, or cannot be reached in ``timeout_seconds``.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float = 10.0, clock: Callable[[], float] = unix_time
    ) -> None:
        self._credentials = Credentials.from_url(url)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<ApiClient {self._credentials.base}/apps/{self._credentials.app_id}>"

    async def __aenter__(self) -> Self:
        headers = {"X-Pusher-Library": f"callboard {__version__}"}
        self._session = aiohttp.ClientSession(headers=headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # Events

    async def trigger(
        self,
        channels: str | Iterable[str],
        name: str,
        data: object,
        *,
        socket_id: str | None = None,
        info: Iterable[str] = (),
    ) -> dict[str, Any]:
        """Publish an event on one or more channels (at most 100 on hosted Pusher).

        ``data`` that is not a string goes as its JSON text. ``socket_id`` is the connection left
        out. ``info`` asks for ``user_count`` and ``subscription_count`` of the channels.
        """
        return await self.post("/events", trigger_body(channels, name, data, socket_id, info))

    async def trigger_batch(self, events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Publish several events (at most 10 on hosted Pusher) in one call.

        Each has ``name``, ``channel``, ``data`` and perhaps ``socket_id`` and ``info``.
        """
        return await self.post("/batch_events", batch_body(events))

    # Questions

    async def channels(self, prefix: str | None = None, info: Iterable[str] = ()) -> dict[str, Any]:
        """Return the occupied channels: ``{"channels": {name: {…}}}``."""
        parameters = {} if prefix is None else {"filter_by_prefix": prefix}
        return await self.get("/channels", _with_info(parameters, info))

    async def channel(self, name: str, info: Iterable[str] = ()) -> dict[str, Any]:
        """Return one channel: ``{"occupied": bool, …}``."""
        return await self.get(f"/channels/{quote_segment(name)}", _with_info({}, info))

    async def users(self, name: str) -> dict[str, Any]:
        """Return a presence channel's users: ``{"users": [{"id": …}]}``."""
        return await self.get(f"/channels/{quote_segment(name)}/users")

    # Any path below /apps/ID

    async def get(
        self, path: str, parameters: Mapping[str, str] = _NO_PARAMETERS
    ) -> dict[str, Any]:
        """Send a signed GET; ``path`` follows ``/apps/ID`` and is percent-encoded already."""
        return await self._call("GET", path, parameters, b"")

    async def post(
        self, path: str, body: object, parameters: Mapping[str, str] = _NO_PARAMETERS
    ) -> dict[str, Any]:
        """Send a signed POST of ``body`` as JSON; ``path`` as for :meth:`get`."""
        return await self._call("POST", path, parameters, orjson.dumps(body))

    async def put(
        self, path: str, body: object, parameters: Mapping[str, str] = _NO_PARAMETERS
    ) -> dict[str, Any]:
        """Send a signed PUT of ``body`` as JSON; ``path`` as for :meth:`get`."""
        return await self._call("PUT", path, parameters, orjson.dumps(body))

    async def delete(
        self, path: str, parameters: Mapping[str, str] = _NO_PARAMETERS
    ) -> dict[str, Any]:
        """Send a signed DELETE; ``path`` as for :meth:`get`."""
        return await self._call("DELETE", path, parameters, b"")

    async def _call(
        self, method: str, path: str, parameters: Mapping[str, str], body: bytes
    ) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("use it as: async with ApiClient(url) as api")
        if not path.startswith("/"):
            raise ValueError(f"path must start with '/' (it follows /apps/ID), got {path!r}")
        credentials = self._credentials
        path = f"/apps/{credentials.app_id}{path}"
        query = signed_query(credentials, method, path, parameters, body, self._clock())
        # Already encoded: another encoder's taste would break the signature.
        url = URL(f"{credentials.base}{path}?{query}", encoded=True)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            async with self._session.request(
                method, url, data=body or None, headers=headers, allow_redirects=False
            ) as response:
                retry_after = response.headers.get("Retry-After", "")
                return _answer(response.status, await response.read(), retry_after)
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or f"no answer within {self._timeout.total:g} s"
            raise ApiError(None, f"cannot reach {credentials.base}: {reason}") from None


def _with_info(parameters: dict[str, str], info: Iterable[str]) -> dict[str, str]:
    attributes = ",".join(info)
    return {**parameters, "info": attributes} if attributes else parameters


def _answer(status: int, body: bytes, retry_after: str) -> dict[str, Any]:
    """Return the object of a 2xx; an empty body counts as an empty one.

    Raises:
        ApiError: anything else.
    """
    text = body.decode("utf-8", "replace").strip()
    if not 200 <= status < 300:
        # RFC 9110, 10.2.3 allows a date as well, which no such service sends.
        seconds = int(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
        raise ApiError(status, text, seconds)
    try:
        answer = orjson.loads(body) if text else {}
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise ApiError(status, f"expected a JSON object, got {text[:200]!r}")
    return answer
