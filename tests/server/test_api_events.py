"""Triggering: what ``POST events`` and ``POST batch_events`` deliver, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.app_server import AppServer, app

TOO_LARGE = (
    "The data content of this event exceeds the allowed maximum (10240 bytes). See "
    "http://pusher.com/docs/server_api_guide/server_publishing_events for more info"
)


@pytest.fixture
def server() -> Iterator[AppServer]:
    with AppServer(app(), app(id="1002", key="key-2", secret="secret-2")) as server:
        yield server


def event(**changes: Any) -> dict[str, Any]:
    return {"name": "e", "channel": "c", "data": "d", **changes}


# Delivery


@pytest.mark.documented("Events", "An event reaches every subscriber of its channel as it was sent")
def test_an_event_reaches_every_subscriber_as_it_was_sent(server: AppServer) -> None:
    listeners = [server.client(), server.client()]
    for listener in listeners:
        listener.subscribe("c")
    data = '{"text": "say \\"ä\\" 漢 😀", "n": 1.0}'
    assert server.post("events", event(name="App\\Events\\Said", data=data)).ok() == {}
    for listener in listeners:
        assert listener.receive() == {"event": "App\\Events\\Said", "channel": "c", "data": data}


@pytest.mark.documented("Events", "Data is any string, also an empty one")
@pytest.mark.parametrize("data", ["", "plain text", "null", '"quoted"', "[1]", " spaced "])
def test_data_is_a_string_that_nobody_reads(server: AppServer, data: str) -> None:
    listener = server.client()
    listener.subscribe("private-encrypted-c")
    server.trigger("private-encrypted-c", data=data)
    assert listener.receive()["data"] == data


def test_an_event_for_nobody_is_accepted(server: AppServer) -> None:
    assert server.post("events", event()).ok() == {}


@pytest.mark.documented(
    "Events", "A client in several channels of a trigger hears it once for each"
)
def test_a_client_in_several_channels_hears_an_event_once_for_each(server: AppServer) -> None:
    listener = server.client()
    for channel in ("a", "b", "private-c"):
        listener.subscribe(channel)
    server.trigger(["private-c", "a", "elsewhere", "b"])
    assert [listener.receive()["channel"] for _ in range(3)] == ["private-c", "a", "b"]
    listener.quiet()


def test_a_channel_named_twice_hears_an_event_once(server: AppServer) -> None:
    listener = server.client()
    listener.subscribe("a")
    server.trigger(["a", "b", "a"])
    assert listener.receive()["channel"] == "a"
    listener.quiet()


@pytest.mark.documented("Events", "`socket_id` leaves that one connection out, in every channel")
def test_the_socket_id_is_left_out_in_every_channel_and_no_other_is(server: AppServer) -> None:
    sender, listener = server.client(), server.client()
    for client in (sender, listener):
        client.subscribe("a")
        client.subscribe("b")
    body = event(channels=["a", "b"], socket_id=sender.socket_id)
    assert server.post("events", body).ok() == {}
    assert [listener.receive()["channel"] for _ in range(2)] == ["a", "b"]
    sender.quiet()


def test_a_socket_id_that_has_gone_leaves_nobody_out(server: AppServer) -> None:
    listener = server.client()
    listener.subscribe("c")
    assert server.post("events", event(socket_id="1.1")).ok() == {}
    assert listener.receive()["event"] == "e"


@pytest.mark.documented("Events", "Events arrive in the order in which they were triggered")
def test_events_arrive_in_the_order_in_which_they_were_triggered(server: AppServer) -> None:
    listener = server.client()
    listener.subscribe("c")
    for number in range(20):
        server.trigger("c", data=str(number))
    assert [listener.receive()["data"] for _ in range(20)] == [str(n) for n in range(20)]


@pytest.mark.documented("Events", "Apps do not hear one another")
def test_apps_do_not_hear_one_another(server: AppServer) -> None:
    mine, theirs = server.client(), server.client(server.apps[1])
    for client in (mine, theirs):
        client.subscribe("c")
    assert server.post("events", event(), server.apps[1]).ok() == {}
    assert theirs.receive()["event"] == "e"
    mine.quiet()


def test_a_socket_id_of_another_app_leaves_nobody_out(server: AppServer) -> None:
    mine, theirs = server.client(), server.client(server.apps[1])
    for client in (mine, theirs):
        client.subscribe("c")
    assert server.post("events", event(socket_id=theirs.socket_id)).ok() == {}
    assert mine.receive()["event"] == "e"
    theirs.quiet()


# Limits


@pytest.mark.documented("HTTP API", "A trigger names 100 channels at most")
def test_100_channels_hear_one_event_and_101_are_refused(server: AppServer) -> None:
    listener = server.client()
    names = [f"c{number}" for number in range(101)]
    for name in names:
        listener.subscribe(name)
    body = {"name": "e", "data": "d"}
    refused = server.post("events", {**body, "channels": names})
    assert refused.refusal(400) == "Too many channels (101 > 100) in the channels parameter"
    server.trigger(names[:100])
    assert [listener.receive()["channel"] for _ in range(100)] == names[:100]
    listener.quiet()


@pytest.mark.parametrize("letter", ["x", "ü", "漢", "😀"])
def test_data_may_have_10240_bytes(server: AppServer, letter: str) -> None:
    listener = server.client()
    listener.subscribe("c")
    width = len(letter.encode())
    exact = letter * (10240 // width) + "x" * (10240 % width)
    server.trigger("c", data=exact)
    assert listener.receive()["data"] == exact
    assert server.post("events", event(data=exact + "x")).refusal(413) == TOO_LARGE
    batch = [event(data=exact), event(data=exact + "x")]
    assert server.post("batch_events", {"batch": batch}).refusal(413).startswith(TOO_LARGE)
    listener.quiet()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"name=e", "Expected a JSON object as the body: "),
        (b"[]", "Expected a JSON object as the body, got an array"),
        ({"channel": "c", "data": "d"}, "Missing required parameter: name"),
        ({"name": "e", "data": "d"}, "Missing required parameter: channel"),
        (event(name=1), "Expected name parameter to be a string"),
        (event(name="e" * 201), "Invalid event name: 201 characters"),
        (event(data={}), "Expected data parameter to be a string"),
        (event(channels=[]), "Expected channels parameter to name at least one channel"),
        (event(channels="c"), "Expected channels parameter to be an array"),
        (event(channels=["a", 1]), "Expected channels[1] to be a string"),
        (event(channel="a b"), "Invalid channel name 'a b'"),
        (event(channel="c" * 165), "Invalid channel name: 165 characters"),
        (event(socket_id="x"), "Invalid socket_id"),
        (event(info="x"), "Unknown info attribute 'x': info should be a comma separated list of"),
    ],
)
def test_a_wrong_body_is_answered_with_the_field_and_reaches_nobody(
    server: AppServer, body: object, text: str
) -> None:
    listener = server.client()
    for channel in ("a", "c"):
        listener.subscribe(channel)
    assert server.post("events", body).refusal(400).startswith(text)
    listener.quiet()


# info


@pytest.mark.documented("HTTP API", "`info` of a trigger answers counts of each channel")
def test_info_counts_users_and_connections_of_every_kind_of_channel(server: AppServer) -> None:
    two_tabs, other = (server.client(), server.client()), server.client()
    for client in (*two_tabs, other):
        client.subscribe("public")
        client.subscribe("private-a")
    for tab in two_tabs:
        tab.enter("presence-a", "ann")
    other.enter("presence-a", "bob")
    body = event(
        channels=["public", "private-a", "presence-a", "empty", "presence-empty"],
        info="user_count,subscription_count",
    )
    assert server.post("events", body).ok() == {
        "channels": {
            "public": {"subscription_count": 3},
            "private-a": {"subscription_count": 3},
            "presence-a": {"user_count": 2, "subscription_count": 3},
            "empty": {"subscription_count": 0},
            "presence-empty": {"user_count": 0, "subscription_count": 0},
        }
    }


def test_info_answers_what_was_asked_and_no_more(server: AppServer) -> None:
    body = event(channels=["a", "presence-a"], info="user_count")
    answer = server.post("events", body).ok()
    assert answer == {"channels": {"a": {}, "presence-a": {"user_count": 0}}}


# Batches


@pytest.mark.documented("HTTP API", "A batch is delivered in its order")
def test_a_batch_is_delivered_in_its_order(server: AppServer) -> None:
    sender, listener = server.client(), server.client()
    for client in (sender, listener):
        for channel in ("a", "b"):
            client.subscribe(channel)
    batch = [
        event(channel="b", data="1"),
        event(channel="a", data="2", socket_id=listener.socket_id),
        event(channel="b", data="3"),
        event(channel="a", data="4", socket_id=sender.socket_id),
    ]
    assert server.post("batch_events", {"batch": batch}).ok() == {}
    assert [sender.receive()["data"] for _ in range(3)] == ["1", "2", "3"]
    assert [listener.receive()["data"] for _ in range(3)] == ["1", "3", "4"]
    for client in (sender, listener):
        client.quiet()


@pytest.mark.documented("HTTP API", "`info` in a batch is answered for each event, in order")
def test_a_batch_answers_info_for_each_event_in_order(server: AppServer) -> None:
    server.client().subscribe("a")
    server.client().enter("presence-b", "ann")
    batch = [
        event(channel="presence-b", info="user_count"),
        event(channel="a"),
        event(channel="a", info="subscription_count,user_count"),
        event(channel="a", info=""),
    ]
    assert server.post("batch_events", {"batch": batch}).ok() == {
        "batch": [{"user_count": 1}, {}, {"subscription_count": 1}, {}]
    }


def test_a_batch_has_10_events_at_most(server: AppServer) -> None:
    listener = server.client()
    listener.subscribe("c")
    refused = server.post("batch_events", {"batch": [event()] * 11})
    assert refused.body == b"Batch too large (11 > 10)\n"
    assert refused.status == 400
    batch = [event(data=str(number)) for number in range(10)]
    assert server.post("batch_events", {"batch": batch}).ok() == {}
    assert [listener.receive()["data"] for _ in range(10)] == [str(n) for n in range(10)]
    listener.quiet()


def test_a_batch_with_one_wrong_event_reaches_nobody(server: AppServer) -> None:
    listener = server.client()
    listener.subscribe("c")
    batch = [event(), event(name=None)]
    refused = server.post("batch_events", {"batch": batch})
    assert refused.refusal(400) == "Missing required parameter: name (in batch[1])"
    listener.quiet()


def test_an_empty_batch_does_nothing(server: AppServer) -> None:
    assert server.post("batch_events", {"batch": []}).ok() == {}


def test_bytes_are_verified_as_sent_and_not_as_they_would_be_written(server: AppServer) -> None:
    listener = server.client()
    listener.subscribe("c")
    body = json.dumps(event(data="ü"), indent=3, ensure_ascii=False).encode()
    assert server.post("events", body).ok() == {}
    assert listener.receive()["data"] == "ü"
