"""Who signs a subscription to a private or presence channel.

An authorizer is any callable of a socket id and a channel that returns, directly or awaited, what
an application's auth endpoint answers: ``{"auth": "KEY:signature", "channel_data"?: "…"}``. It is
asked again after every reconnect, because the socket id is part of what is signed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import orjson

from callboard_client.errors import SubscriptionError
from callboard_protocol import signatures
from callboard_protocol.channels import json_type, kind_of

if TYPE_CHECKING:
    import aiohttp

Authorization = Mapping[str, object]
Authorizer = Callable[[str, str], Authorization | Awaitable[Authorization]]

_SHOWN_CHARACTERS = 200


class SecretAuthorizer:
    """Signs with the app's secret itself: for services and tests, never for users' machines.

    ``member`` is who this client is in presence channels: ``{"user_id": …, "user_info"?: …}``.
    """

    def __init__(self, key: str, secret: str, member: Mapping[str, object] | None = None) -> None:
        self._key = key
        self._secret = secret
        self._channel_data = None if member is None else orjson.dumps(dict(member)).decode()

    def __repr__(self) -> str:
        return f"SecretAuthorizer({self._key!r}, '***')"

    def __call__(self, socket_id: str, channel: str) -> Authorization:
        """Return the signed answer.

        Raises:
            SubscriptionError: a presence channel, and no member was given.
        """
        channel_data = self._channel_data if kind_of(channel).presence else None
        if channel_data is None and kind_of(channel).presence:
            raise SubscriptionError(
                channel, "a presence channel needs SecretAuthorizer(…, member={'user_id': …})"
            )
        string = signatures.channel_string(socket_id, channel, channel_data)
        answer = {"auth": signatures.auth(self._key, self._secret, string)}
        if channel_data is not None:
            answer["channel_data"] = channel_data
        return answer


class EndpointAuthorizer:
    """Asks an application's auth endpoint as the SDKs do, with a form POST.

    ``headers`` carry whatever tells the application who asks. Without a ``session`` each question
    opens its own connection; pass one to reuse it, and close it yourself.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        session: aiohttp.ClientSession | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._url = url
        self._headers = dict(headers or {})
        self._session = session
        self._timeout_seconds = timeout_seconds

    def __repr__(self) -> str:
        return f"EndpointAuthorizer({self._url!r})"

    async def __call__(self, socket_id: str, channel: str) -> Authorization:
        """Return the endpoint's answer.

        Raises:
            SubscriptionError: it answered other than 200 or 201 with a JSON object, or not at all.
        """
        # Whoever signs locally does not pay for an HTTP client.
        import aiohttp

        form = {"socket_id": socket_id, "channel_name": channel}
        try:
            if self._session is not None:
                status, body = await self._post(self._session, form)
            else:
                async with aiohttp.ClientSession() as session:
                    status, body = await self._post(session, form)
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise SubscriptionError(channel, f"cannot reach {self._url}: {reason}") from error
        return self._answer(channel, status, body)

    async def _post(
        self, session: aiohttp.ClientSession, form: dict[str, str]
    ) -> tuple[int, bytes]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=self._timeout_seconds)
        async with session.post(
            self._url, data=form, headers=self._headers, timeout=timeout
        ) as response:
            return response.status, await response.read()

    def _answer(self, channel: str, status: int, body: bytes) -> Authorization:
        shown = body[:_SHOWN_CHARACTERS].decode("utf-8", "replace")
        if status not in (200, 201):
            raise SubscriptionError(channel, f"{self._url} answered {status}: {shown}", status)
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise SubscriptionError(
                channel, f"{self._url} must answer a JSON object with auth, got {shown!r}", status
            )
        return answer


def read_authorization(channel: str, answer: object) -> tuple[str, str | None]:
    """Return ``auth`` and ``channel_data`` of an authorizer's answer.

    Raises:
        SubscriptionError: it is not what an authorizer may answer.
    """
    if not isinstance(answer, Mapping):
        raise SubscriptionError(
            channel, f"the authorizer must return an object with auth, got {json_type(answer)}"
        )
    auth = answer.get("auth")
    channel_data = answer.get("channel_data")
    if not isinstance(auth, str):
        raise SubscriptionError(
            channel, f"the authorizer's auth must be a string, got {json_type(auth)}"
        )
    if channel_data is not None and not isinstance(channel_data, str):
        raise SubscriptionError(
            channel,
            f"the authorizer's channel_data must be a JSON string, got {json_type(channel_data)}",
        )
    return auth, channel_data
