"""A broker that takes its time, as one behind a network does: nothing overtakes, nothing leaks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from callboard_server import server as server_module
from callboard_server.settings import AppSettings, development_app
from support.doors import Doors
from support.serving import Serving, nothing_left, serving
from support.sockets import request, signed, trigger
from support.websocket import close_frame, text_frame

SUBSCRIBE = text_frame({"event": "pusher:subscribe", "data": {"channel": "channel"}})
METHODS = ("connect", "join", "leave", "publish")
SMALL = AppSettings(id="2", key="small", secret="secret", max_connections=1)


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> Doors:
    return Doors(monkeypatch, *METHODS)


@pytest.fixture
def server(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setattr(server_module, "REQUESTS_SECONDS", 0.2)
    monkeypatch.setattr(server_module, "FAREWELL_SECONDS", 0.2)
    with nothing_left(), serving(apps=(development_app(), SMALL)) as running:
        yield running


def test_what_a_client_says_before_it_is_admitted_waits(server: Serving, doors: Doors) -> None:
    doors.open("leave")
    client = server.websocket(behind=SUBSCRIBE)
    client.send(text_frame({"event": "pusher:ping"}))
    assert client.nothing_comes()
    doors.open("connect")
    doors.open("join")
    client.established()
    client.read_event("pusher_internal:subscription_succeeded")
    client.read_event("pusher:pong")


def test_a_client_that_leaves_before_it_is_admitted_does_not_count(
    server: Serving, doors: Doors
) -> None:
    doors.open("leave")
    client = server.websocket("/app/small")
    server.settle()
    client.reset()
    server.settle()
    doors.open("connect")
    server.eventually(lambda: server.look(lambda running: len(running.hub.transient)) == 0)
    server.websocket("/app/small").established()


def test_messages_wait_for_the_join_before_them(server: Serving, doors: Doors) -> None:
    doors.open("connect")
    doors.open("leave")
    client = server.client()
    client.send(SUBSCRIBE + text_frame({"event": "pusher:ping"}), text_frame("rubbish"))
    assert client.nothing_comes()
    doors.open("join")
    client.read_event("pusher_internal:subscription_succeeded")
    client.read_event("pusher:pong")
    assert "Invalid JSON" in client.read_error()["message"]


def test_a_close_behind_a_join_that_takes_time(server: Serving, doors: Doors) -> None:
    doors.open("connect")
    doors.open("leave")
    client = server.client()
    client.send(SUBSCRIBE + close_frame(1000))
    assert client.nothing_comes()
    doors.open("join")
    client.read_event("pusher_internal:subscription_succeeded")
    assert client.read_frame().close_code == 1000
    assert client.read_rest() == b""


def test_a_client_that_vanishes_while_it_joins_is_in_no_channel(
    server: Serving, doors: Doors
) -> None:
    doors.open("connect")
    doors.open("leave")
    client = server.client()
    client.send(SUBSCRIBE)
    server.settle()
    client.reset()
    server.settle()
    doors.open("join")
    server.eventually(lambda: not server.look(lambda running: running.hub.connections))
    answer = server.ask(request("GET", signed("GET", "/apps/app-id/channels")))
    assert answer.json() == {"channels": {}}


def test_a_client_thrown_out_while_it_joins_is_in_no_channel(server: Serving, doors: Doors) -> None:
    doors.open("connect")
    doors.open("leave")
    client = server.client()
    client.send(SUBSCRIBE)
    server.settle()
    for _ in range(3):
        server.skip(200)
    doors.open("join")
    errors = [frame for frame in client.read_frames() if b"pusher:error" in frame.payload]
    assert [json.loads(error.payload)["data"]["code"] for error in errors] == [4201]
    answer = server.ask(request("GET", signed("GET", "/apps/app-id/channels")))
    assert answer.json() == {"channels": {}}


def test_a_publisher_that_leaves_has_published(server: Serving, doors: Doors) -> None:
    for method in ("connect", "join", "leave"):
        doors.open(method)
    client = server.client()
    client.subscribe("channel")
    with server.connect() as peer:
        peer.send(trigger("channel", "event", "data"))
        server.settle()
    server.settle()
    doors.open("publish")
    client.read_event("event")


@pytest.mark.parametrize("waiting", ["connect", "join", "leave", "publish"])
def test_the_end_does_not_wait_for_it_and_leaves_no_task(
    server: Serving, doors: Doors, waiting: str
) -> None:
    """The server's fixture looks for tasks that are left."""
    for method in {*METHODS} - {waiting}:
        doors.open(method)
    client = server.websocket(behind=SUBSCRIBE)
    if waiting == "leave":
        client.established()
        client.read_event("pusher_internal:subscription_succeeded")
        client.reset()
    peer = server.connect()
    peer.send(trigger("channel", "event", "data"))
    server.settle()
    server.background.stop()
    if waiting != "leave":
        client.wait_for_end()
    peer.wait_for_end()
