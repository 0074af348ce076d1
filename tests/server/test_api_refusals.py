"""How the HTTP API refuses: a status, and one line of plain text that says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from callboard_server.clock import SystemClock
from support.pusher_client import app, other_app
from support.pusher_service import Service, signed_query

documented = pytest.mark.documented

EVENT = {"name": "e", "channel": "c", "data": "d"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    disabled = other_app(enabled=False)
    limited = app(id="3", key="key-3", max_backend_events_per_second=1)
    with Service(app(), disabled, limited, max_request_body_bytes=100_000) as service:
        yield service


# Every status


@documented("HTTP API", "Every refusal is one line of plain text that ends in a newline")
def test_every_refusal_is_a_line_of_text(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    now = SystemClock().now()
    monkeypatch.setattr(SystemClock, "now", lambda _: now)
    _, disabled, limited = service.apps
    unsigned = {"GET": "/apps/1001/channels", "POST": "/apps/1001/events"}
    events = "/apps/1001/events"
    wrong_body = signed_query(service.app, "POST", events, body=b"{}")
    service.post("events", EVENT, limited)
    answers = [
        (400, service.post("events", b"{")),
        (400, service.post("events", [])),
        (400, service.post("batch_events", {"batch": [EVENT] * 11})),
        (400, service.get("channels", info="nothing")),
        (400, service.get("channels/c/users")),
        (400, service.post("channels/c/events", b"", unknown="x")),
        (400, service.post("users/a b/terminate_connections", {})),
        *((401, service.send(method, path)) for method, path in unsigned.items()),
        (401, service.send("POST", events, wrong_body, b"[]")),
        (401, service.send("POST", "/users/ann/terminate_connections")),
        (403, service.get("channels", disabled)),
        (404, service.call("GET", "/apps/9/channels")),
        (404, service.get("nothing")),
        (405, service.get("events")),
        (405, service.post("channels", {})),
        (413, service.post("events", {**EVENT, "data": "x" * 10241})),
        (413, service.post("events", {**EVENT, "data": "x" * 100_001})),
        (429, service.post("events", EVENT, limited)),
    ]
    for status, answer in answers:
        assert answer.refusal(status)


@documented("HTTP API", "Hosted Pusher's texts for a missing or wrong parameter")
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"channel": "c", "data": "d"}, "Missing required parameter: name"),
        ({"name": "e", "data": "d"}, "Missing required parameter: channel"),
        ({"name": "e", "channel": "c"}, "Missing required parameter: data"),
        ({**EVENT, "name": 7}, "Expected name parameter to be a string, got a number"),
        ({**EVENT, "data": {"a": 1}}, "Expected data parameter to be a string, got an object"),
        ({**EVENT, "channels": "c"}, "Expected channels parameter to be an array, got a string"),
        ({**EVENT, "channels": []}, "Expected channels parameter to name at least one channel"),
        ({**EVENT, "channels": ["c"] * 101}, "Too many channels (101 > 100)"),
        ({**EVENT, "channels": ["c", 7]}, "Expected channels[1] to be a string, got a number"),
        ({**EVENT, "channel": "a b"}, "Invalid channel name 'a b'"),
        ({**EVENT, "socket_id": "1"}, "Invalid socket_id: expected a string like '123.456'"),
        ({**EVENT, "socket_id": 1.5}, "Invalid socket_id: expected a string like '123.456'"),
        ({**EVENT, "info": 7}, "Expected info parameter to be a string"),
        ({**EVENT, "info": "cache"}, "Unknown info attribute 'cache': info should be a comma"),
    ],
)
def test_a_wrong_trigger_is_told_what_is_wrong(
    service: Service, body: dict[str, Any], text: str
) -> None:
    listener = service.client()
    listener.subscribe("c")
    assert service.post("events", body).refusal(400).startswith(text)
    listener.quiet()


@documented("HTTP API", "A batch of more than 10 events is refused: `Batch too large (11 > 10)`")
def test_a_batch_too_large(service: Service) -> None:
    refused = service.post("batch_events", {"batch": [EVENT] * 11})
    assert refused.body == b"Batch too large (11 > 10)\n"
    assert service.post("batch_events", {"batch": [EVENT] * 10}).ok() == {}


# Parameters that mean nothing

LOOKUPS = ("channels", "channels/c", "channels/presence-c/users", "channels/c/stats")


@documented("HTTP API", "Query parameters that a lookup does not know are refused by name")
@pytest.mark.parametrize("path", LOOKUPS)
def test_unknown_parameters_of_lookups_are_refused(service: Service, path: str) -> None:
    text = "The following query string parameters are extraneous: "
    assert service.get(path, page="2").refusal(400) == text + "page"
    assert service.get(path, z="", page="2").refusal(400) == text + "page, z"


@documented("HTTP API", "`info` of the users of a channel is extraneous, as is a channel's prefix")
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("channels/presence-c/users", "info"),
        ("channels/c/stats", "info"),
        ("channels/c", "filter_by_prefix"),
    ],
)
def test_a_parameter_of_another_lookup_is_refused(service: Service, path: str, name: str) -> None:
    assert service.get(path, **{name: "user_count"}).body == (
        f"The following query string parameters are extraneous: {name}\n".encode()
    )


@documented(
    "HTTP API", "`user_count` is for presence channels: else 400, with hosted Pusher's text"
)
def test_user_count_is_for_presence_channels(service: Service) -> None:
    assert service.get("channels", info="user_count").body == (
        b"user_count may only be requested for presence channels - "
        b"please supply filter_by_prefix begining with presence-\n"
    )
    assert service.get("channels/c", info="user_count").body == (
        b"Cannot retrieve the user count unless the channel is a presence channel\n"
    )
    assert service.get("channels/c/users").body == (
        b"Users can only be retrieved for presence channels\n"
    )


# Parameters in the query of a POST


@documented("HTTP API", "A trigger's parameters may stand in the query, with `channels[]` repeated")
@pytest.mark.parametrize("names", [["channel"], ["channels[]"], ["channels[]", "channels[]"]])
def test_a_trigger_may_be_written_as_a_query(service: Service, names: list[str]) -> None:
    channels = [f"c-{number}" for number in range(len(names))]
    listener, sender = service.client(), service.client()
    for client in (listener, sender):
        client.subscribe(*channels)
    data = '{"a": "ä+b c&d=%20"}'
    parameters = [
        ("name", "e"),
        ("data", data),
        *zip(names, channels, strict=True),
        ("socket_id", sender.socket_id),
    ]
    path = "/apps/1001/events"
    query = signed_query(service.app, "POST", path, parameters)
    assert service.send("POST", path, query).ok() == {}
    for channel in channels:
        listener.hears("e", channel, data)
    sender.quiet()
    counted = signed_query(service.app, "POST", path, [*parameters, ("info", "subscription_count")])
    assert service.send("POST", path, counted).ok() == {
        "channels": {channel: {"subscription_count": 2} for channel in channels}
    }
    for client in (listener, sender):
        client.close()


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ([], "Expected a JSON object as the body, got an empty body"),
        ([("name", "e")], "Missing required parameter: data"),
        ([("name", "e"), ("data", "d")], "Missing required parameter: channel"),
        ([("name", "e"), ("data", "d"), ("channel", "a b")], "Invalid channel name 'a b'"),
        ([("name", "e"), ("data", "d"), ("channels[]", "")], "Invalid channel name: it is empty"),
    ],
)
def test_a_wrong_trigger_in_a_query(
    service: Service, parameters: list[tuple[str, str]], text: str
) -> None:
    path = "/apps/1001/events"
    query = signed_query(service.app, "POST", path, parameters)
    assert service.send("POST", path, query).refusal(400).startswith(text)


def test_a_body_is_what_counts_if_there_is_one(service: Service) -> None:
    listener = service.client()
    listener.subscribe("c", "d")
    body = json.dumps(EVENT).encode()
    assert service.call("POST", "/apps/1001/events", body, channel="d", name="x").ok() == {}
    listener.hears("e", "c")
    listener.quiet()
