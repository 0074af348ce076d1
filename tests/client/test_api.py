"""The HTTP API: calls, answers and errors."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from callboard_client import ApiClient, ApiError
from callboard_client.signed_request import Credentials
from client.fake_api import NOW, FakeApi
from client.scripted import KEY, SECRET


async def test_answers_are_returned_as_they_are(api: FakeApi, api_client: ApiClient) -> None:
    api.body = b'{"channels":{"a":{"subscription_count":2}}}'
    answer = await api_client.trigger("a", "e", {}, info=("subscription_count", "user_count"))
    assert answer == {"channels": {"a": {"subscription_count": 2}}}
    assert orjson.loads(api.seen[0][3])["info"] == "subscription_count,user_count"


async def test_a_batch_takes_info_as_a_list(api: FakeApi, api_client: ApiClient) -> None:
    event = {"channel": "a", "name": "e", "data": "", "info": ["user_count"]}
    await api_client.trigger_batch([event, {**event, "info": "subscription_count"}])
    sent = orjson.loads(api.seen[0][3])["batch"]
    assert [each["info"] for each in sent] == ["user_count", "subscription_count"]
    # The caller's own is left alone.
    assert event["info"] == ["user_count"]


async def test_a_batch_event_must_be_whole(api_client: ApiClient) -> None:
    with pytest.raises(ValueError, match="event 1 of the batch has no name and no data"):
        await api_client.trigger_batch(
            [{"channel": "a", "name": "e", "data": ""}, {"channel": "a"}],
        )


async def test_any_path_can_be_called(api: FakeApi, api_client: ApiClient) -> None:
    await api_client.get("/tasks", {"state": "due & late", "q": "a+b=ü,c"})
    await api_client.post("/users/u%201/terminate_connections", {}, {"why": "100%"})
    (_, path, query, _), (_, second_path, second_query, body) = api.seen
    assert path == "/apps/3/tasks"
    parameters = dict(parse_qsl(query))
    assert (parameters["state"], parameters["q"]) == ("due & late", "a+b=ü,c")
    assert second_path == "/apps/3/users/u 1/terminate_connections"
    assert dict(parse_qsl(second_query))["why"] == "100%"
    assert body == b"{}"


async def test_put_and_delete_are_signed_as_the_others(api: FakeApi, api_client: ApiClient) -> None:
    await api_client.put("/schedules/nightly", {"cron": "0 3 * * *"})
    await api_client.delete("/schedules/nightly")
    (method, path, _, body), (second, second_path, _, nothing) = api.seen
    assert (method, path, body) == ("PUT", "/apps/3/schedules/nightly", b'{"cron":"0 3 * * *"}')
    assert (second, second_path, nothing) == ("DELETE", "/apps/3/schedules/nightly", b"")


async def test_a_proxys_prefix_is_called_but_not_signed(api: FakeApi, host: str) -> None:
    url = f"http://{KEY}:{SECRET}@{host}/proxy/apps/3"
    async with ApiClient(url, clock=lambda: NOW) as client:
        await client.channels()
    assert api.seen[0][1] == "/proxy/apps/3/channels"


async def test_the_clock_is_the_machines_unless_another_is_given(host: str) -> None:
    # The service's clock stands in 2012 here, so it must refuse.
    async with ApiClient(f"http://{KEY}:{SECRET}@{host}/apps/3") as client:
        with pytest.raises(ApiError, match="answered 401: Timestamp expired"):
            await client.channels()


# Errors


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b"Missing required parameter: channel\n", "400: Missing required parameter"),
        (401, b"Unknown auth_key\n", "answered 401: Unknown auth_key$"),
        (413, b"too much", "413: too much"),
        (302, b"", "answered 302"),
        (200, b"<html>", "expected a JSON object, got '<html>'"),
        (200, b"[]", r"expected a JSON object, got '\[\]'"),
    ],
)
async def test_a_refusal_has_its_status_and_the_services_text(
    api: FakeApi, api_client: ApiClient, status: int, body: bytes, reason: str
) -> None:
    api.status, api.body = status, body
    with pytest.raises(ApiError, match=reason) as caught:
        await api_client.trigger("a", "e", {})
    assert caught.value.status == status
    assert SECRET not in str(caught.value)
    assert len(api.seen) == 1


@pytest.mark.parametrize(
    ("header", "seconds"), [("2", 2), ("Wed, 21 Oct 2026 07:28:00 GMT", None), (None, None)]
)
async def test_a_refusal_may_say_when_to_come_again(
    api: FakeApi, api_client: ApiClient, header: str | None, seconds: int | None
) -> None:
    api.status, api.retry_after = 429, header
    with pytest.raises(ApiError) as caught:
        await api_client.post("/tasks", {"name": "a"})
    assert caught.value.retry_after_seconds == seconds


async def test_an_accepted_call_may_have_no_body(api: FakeApi, api_client: ApiClient) -> None:
    api.status, api.body = 202, b""
    assert await api_client.trigger("a", "e", {}) == {}


async def test_a_service_that_is_not_there_is_named() -> None:
    server = TestServer(web.Application())
    await server.start_server()
    address = f"{server.host}:{server.port}"
    await server.close()
    async with ApiClient(f"http://{KEY}:{SECRET}@{address}/apps/3") as client:
        with pytest.raises(ApiError, match=f"cannot reach http://{address}: ") as caught:
            await client.channels()
    assert caught.value.status is None
    assert SECRET not in str(caught.value)


async def test_a_service_that_does_not_answer_is_given_up() -> None:
    given_up = asyncio.Event()

    async def never(request: web.Request) -> web.Response:
        await given_up.wait()
        return web.Response()

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", never)
    async with TestServer(application) as server:
        url = f"http://{KEY}:{SECRET}@{server.host}:{server.port}/apps/3"
        async with ApiClient(url, timeout_seconds=0.05) as client:
            with pytest.raises(ApiError, match=r"no answer within 0\.05 s") as caught:
                await client.channels()
        given_up.set()
    assert caught.value.status is None


# Where and who


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ws://k:s3cret@h/apps/3", "without http or https"),
        ("http://h/apps/3", "without key and secret"),
        ("http://k@h/apps/3", "without key and secret"),
        ("http://k:s3cret@/apps/3", "without a host"),
        ("http://k:s3cret@h", "without an app's id"),
        ("http://k:s3cret@h/apps/", "without an app's id"),
        ("http://k:s3cret@h/apps/3/events", "without an app's id"),
    ],
)
def test_a_wrong_url_is_explained_without_the_secret(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        ApiClient(url)
    assert "s3cret" not in str(caught.value)


def test_a_url_is_read_as_the_sdks_read_it() -> None:
    credentials = Credentials.from_url("https://k%40y:s%2Ft@[::1]:6001/proxy/apps/3/")
    assert credentials == Credentials("https://[::1]:6001/proxy", "3", "k@y", "s/t")
    assert "s/t" not in repr(credentials)
    assert repr(ApiClient("http://k:s3cret@h/apps/3")) == "<ApiClient http://h/apps/3>"


async def test_a_client_must_be_entered() -> None:
    client = ApiClient("http://k:s@h/apps/3")
    with pytest.raises(RuntimeError, match="async with ApiClient"):
        await client.channels()


async def test_a_path_must_be_one(api_client: ApiClient) -> None:
    with pytest.raises(ValueError, match="must start with '/'"):
        await api_client.get("tasks")
