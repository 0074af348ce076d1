"""The HTTP API's signature: the documentation's vectors and the official library as oracles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
from pusher.http import make_query_string
from pusher.pusher_client import PusherClient
from pusher.signature import sign

from callboard_client import ApiClient
from callboard_client.signed_request import Credentials, signed_query
from client.fake_api import FakeApi
from client.scripted import KEY, SECRET


@pytest.mark.parametrize(
    ("key", "secret", "method", "path", "parameters", "body", "now", "signature"),
    [
        (
            KEY,
            SECRET,
            "POST",
            "/apps/3/events",
            {},
            b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}',
            1353088179,
            "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
        ),
        (
            "key",
            "secret",
            "POST",
            "/some/path",
            {"query": "params", "go": "here"},
            b"",
            1234,
            "3b237953a5ba6619875cbb2a2d43e8da9ef5824e8a2c689f6284ac85bc1ea0db",
        ),
        (
            "key",
            "secret",
            "GET",
            "/some/obscure/api",
            {"foo": "bar", "body_md5": "d41d8cd98f00b204e9800998ecf8427e"},
            b"",
            1000,
            "5c49f04a95eedc9028b1e0e8de7c2c7ad63504a0e3b5c145d2accaef6c14dbac",
        ),
        (
            "d41a439c438a100756f5",
            "4bf35003e819bb138249",
            "GET",
            "/apps/102015/channels",
            {"info": "user_count", "filter_by_prefix": "presence-"},
            b"",
            1427034994,
            "4d8a02edcc8a758b0162cd6da690a9a45fb8ae326a276dca1e06a0bc42796c11",
        ),
    ],
    ids=["post with a body", "post without", "get with the md5 of nothing", "get with info"],
)
def test_known_requests_have_their_known_signatures(
    key: str,
    secret: str,
    method: str,
    path: str,
    parameters: dict[str, str],
    body: bytes,
    now: float,
    signature: str,
) -> None:
    credentials = Credentials("http://host", "3", key, secret)
    query = signed_query(credentials, method, path, parameters, body, now)
    assert query.endswith(f"&auth_signature={signature}")


async def test_a_trigger_is_the_documentations_example_to_the_byte(
    api: FakeApi, api_client: ApiClient
) -> None:
    await api_client.trigger("project-3", "foo", {"some": "data"})
    ((method, path, query, body),) = api.seen
    assert (method, path) == ("POST", "/apps/3/events")
    assert body == b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
    assert dict(parse_qsl(query)) == {
        "auth_key": KEY,
        "auth_timestamp": "1353088179",
        "auth_version": "1.0",
        "body_md5": "ec365a775a4cd0599faeb73354201b6f",
        "auth_signature": "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
    }
    assert api.content_types == ["application/json"]


Call = Callable[[ApiClient], Awaitable[Any]]
Official = Callable[[PusherClient], Any]


@pytest.mark.parametrize(
    ("call", "official"),
    [
        (
            lambda api: api.trigger(["a", "b"], "e", {"ä": [1, 2]}, socket_id="1.2"),
            lambda api: api.trigger.make_request(["a", "b"], "e", {"ä": [1, 2]}, "1.2"),
        ),
        (
            lambda api: api.trigger("a", "e", "as it is"),
            lambda api: api.trigger.make_request("a", "e", "as it is"),
        ),
        (
            lambda api: api.trigger_batch([{"channel": "a", "name": "e", "data": {"b": 1}}]),
            lambda api: api.trigger_batch.make_request(
                [{"channel": "a", "name": "e", "data": {"b": 1}}]
            ),
        ),
        (lambda api: api.channels(), lambda api: api.channels_info.make_request()),
        (
            lambda api: api.channels("presence-", ["user_count"]),
            lambda api: api.channels_info.make_request("presence-", ["user_count"]),
        ),
        (
            lambda api: api.channel("presence-a=@,.;_", ["user_count", "subscription_count"]),
            lambda api: api.channel_info.make_request(
                "presence-a=@,.;_", ["user_count", "subscription_count"]
            ),
        ),
        (
            lambda api: api.users("presence-a"),
            lambda api: api.users_info.make_request("presence-a"),
        ),
    ],
    ids=["trigger", "string", "batch", "channels", "prefix", "channel", "users"],
)
async def test_a_call_says_what_the_official_librarys_call_says(
    api: FakeApi, api_client: ApiClient, call: Call, official: Official
) -> None:
    await call(api_client)
    ((method, path, query, body),) = api.seen
    theirs = official(PusherClient("3", KEY, SECRET, host="127.0.0.1", ssl=False))
    assert (method, path) == (theirs.method, theirs.path)
    # Only the spaces in the JSON text differ.
    assert _parsed(body) == _parsed(theirs.body)

    ours = dict(parse_qsl(query))
    signature = ours.pop("auth_signature")
    assert sign(SECRET, f"{method}\n{path}\n{make_query_string(ours)}") == signature
    varying = {"auth_signature", "auth_timestamp", "body_md5"}
    assert {name: value for name, value in ours.items() if name not in varying} == {
        name: value for name, value in theirs.query_params.items() if name not in varying
    }
    # Theirs has it on a GET too; Reverb would not verify that.
    assert ("body_md5" in ours) == bool(body)


def _parsed(body: bytes) -> Any:
    if not body:
        return None
    parsed = orjson.loads(body)
    for event in parsed.get("batch", [parsed]):
        if event["data"].startswith("{"):
            event["data"] = orjson.loads(event["data"])
    return parsed
