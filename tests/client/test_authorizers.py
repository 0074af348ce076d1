"""Signing locally, and asking an application's auth endpoint as the SDKs do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pusher
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from callboard_client import EndpointAuthorizer, SecretAuthorizer, SubscriptionError

KEY, SECRET = "278d425bdf160c739803", "7ad3773142a6692b25b8"
MEMBER = {"user_id": "u1", "user_info": {"name": "Zoë"}}


class Compact(json.JSONEncoder):
    """Writes the same JSON text as ours: what is signed is the text."""

    def encode(self, o: object) -> str:
        return orjson.dumps(o).decode()


class Endpoint:
    """An application's auth endpoint that answers what the test says."""

    def __init__(self) -> None:
        self.status = 200
        self.body = orjson.dumps({"auth": "key:signature"})
        self.asked: list[tuple[dict[str, object], str | None]] = []

    async def answer(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-www-form-urlencoded"
        self.asked.append((dict(await request.post()), request.headers.get("Authorization")))
        return web.Response(status=self.status, body=self.body)


@pytest.fixture
async def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def url(endpoint: Endpoint) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/pusher/auth", endpoint.answer)
    async with TestServer(application) as server:
        yield str(server.make_url("/pusher/auth"))


@pytest.mark.parametrize("channel", ["private-a", "private-encrypted-a", "presence-a"])
def test_local_signatures_are_the_official_librarys(channel: str) -> None:
    official = pusher.Pusher(
        "1",
        KEY,
        SECRET,
        json_encoder=Compact,
        # For encrypted channels, whose signature is the private channels'.
        encryption_master_key_base64="OHRXNUZRTG5pUTFzQlFGd3J3N3Q2VFZFc0paZDEweVk=",
    )
    member = MEMBER if channel.startswith("presence-") else None
    expected = official.authenticate(channel, "123.456", member)
    expected.pop("shared_secret", None)
    assert SecretAuthorizer(KEY, SECRET, MEMBER)("123.456", channel) == expected


async def test_the_endpoint_is_asked_with_a_form(endpoint: Endpoint, url: str) -> None:
    endpoint.body = orjson.dumps({"auth": "k:s", "channel_data": "{}", "shared_secret": "x"})
    authorizer = EndpointAuthorizer(url, {"Authorization": "Bearer mine"})
    assert await authorizer("123.456", "presence-a") == {
        "auth": "k:s",
        "channel_data": "{}",
        "shared_secret": "x",
    }
    form = {"socket_id": "123.456", "channel_name": "presence-a"}
    assert endpoint.asked == [(form, "Bearer mine")]


async def test_a_session_of_the_caller_is_used_and_left_open(endpoint: Endpoint, url: str) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": "session"}) as session:
        authorizer = EndpointAuthorizer(url, session=session)
        for _ in range(2):
            await authorizer("1.1", "private-a")
        assert not session.closed
    assert [authorization for _, authorization in endpoint.asked] == ["session", "session"]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (403, b"not you", "answered 403: not you"),
        (204, b"", "answered 204"),
        (200, b"<html>", "must answer a JSON object with auth, got '<html>'"),
        (200, b"[]", "must answer a JSON object"),
    ],
)
async def test_an_endpoint_that_refuses_is_quoted(
    endpoint: Endpoint, url: str, status: int, body: bytes, reason: str
) -> None:
    endpoint.status, endpoint.body = status, body
    with pytest.raises(SubscriptionError, match=reason) as caught:
        await EndpointAuthorizer(url)("1.1", "private-a")
    assert (caught.value.channel, caught.value.status) == ("private-a", status)


async def test_an_endpoint_that_is_not_there_is_named() -> None:
    server = TestServer(web.Application())
    await server.start_server()
    url = str(server.make_url("/auth"))
    await server.close()
    with pytest.raises(SubscriptionError, match=f"cannot reach {url}: "):
        await EndpointAuthorizer(url)("1.1", "private-a")
