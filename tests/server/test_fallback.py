"""A client by HTTP streaming or polling is a client like any other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec
import pytest

from callboard_protocol import frames, signatures
from callboard_server.fallback import lines
from callboard_server.settings import AppSettings, development_app
from support.fallback import FallbackClient
from support.serving import Serving, serving
from support.sockets import request, signed, trigger
from support.websocket import WebSocketPeer

documented = pytest.mark.documented
ACTIONS = ("xhr_streaming", "xhr")
OURS = "https://shop.example"
APPS = (
    development_app(),
    AppSettings(id="2", key="disabled", secret="secret", enabled=False),
    AppSettings(id="3", key="small", secret="secret", max_connections=1),
    AppSettings(id="4", key="secure", secret="secret", tls_only=True),
    AppSettings(id="5", key="ours", secret="secret", allowed_origins=(OURS,)),
)


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(apps=APPS) as running:
        yield running


def sign(socket_id: str, channel: str, data: str | None = None) -> dict[str, str]:
    """Return what the app's backend answers a client that wants to subscribe."""
    parts = [socket_id, channel] if data is None else [socket_id, channel, data]
    auth = f"app-key:{signatures.sign('app-secret', ':'.join(parts))}"
    return {"auth": auth} if data is None else {"auth": auth, "channel_data": data}


# The beginning


@documented("HTTP fallbacks", "A stream begins with `o` and `connection_established`, and stays")
def test_a_stream_opens_with_a_connection_and_stays_open(server: Serving) -> None:
    client = FallbackClient(server)
    stream = client.open()
    assert re.fullmatch(r"\d+\.\d+", client.socket_id)
    assert stream.headers["content-type"] == "application/javascript; charset=UTF-8"
    assert stream.headers["cache-control"] == "no-store, no-transform"
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.nothing_comes()
    assert server.look(lambda running: list(running.hub.connections)) == [client.socket_id]


@documented("HTTP fallbacks", "Each poll is answered with what there is, and waits if that is none")
def test_polls_are_answered_one_by_one(server: Serving) -> None:
    client = FallbackClient(server)
    first = client.open("xhr")
    first.read_end()
    # On the same connection, as browsers do.
    first.peer.send(client.ask("xhr"))
    assert first.nothing_comes()
    client.say("pusher:ping")
    second = type(first)(first.peer, "xhr")
    second.read_event("pusher:pong")
    second.read_end()
    client.say("pusher:ping")
    client.say("pusher:ping")
    third = client.receive("xhr")
    third.read_event("pusher:pong")
    third.read_event("pusher:pong")
    third.read_end()


REFUSED = [
    ("unknown", "", (), 4001, "App key unknown not in this cluster"),
    ("disabled", "", (), 4003, "App is disabled"),
    ("secure", "", (), 4000, "TLS only"),
    ("app-key", "?protocol=seven", (), 4006, "'seven' is not an integer"),
    ("app-key", "?protocol=8", (), 4007, "Unsupported protocol version 8"),
    ("ours", "", ("Origin: https://evil.example",), 4009, "Origin not allowed"),
]


@documented(
    "HTTP fallbacks", "A refusal opens and closes, with the code a WebSocket is closed with"
)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(("key", "query", "headers", "code", "reason"), REFUSED)
def test_a_refusal_opens_and_closes(
    server: Serving,
    action: str,
    key: str,
    query: str,
    headers: tuple[str, ...],
    code: int,
    reason: str,
) -> None:
    client = FallbackClient(server, "1/a", *headers, key=key, query=query or "?protocol=7")
    receive = client.receive(action)
    assert receive.read_line() == "o"
    assert receive.read_close()[0] == code
    assert reason in receive.text
    assert receive.headers["access-control-allow-origin"] == "*"
    assert client.send().status == 404
    assert server.look(lambda running: len(running.hub.connections)) == 0


def test_one_connection_over_the_quota_is_refused_until_another_leaves(server: Serving) -> None:
    first = server.websocket("/app/small").established()
    client = FallbackClient(server, key="small")
    assert client.receive().read_line() == "o"
    stream = client.receive()
    stream.read_line()
    assert stream.read_close()[0] == 4004
    first.reset()
    server.eventually(lambda: server.look(lambda running: not running.hub.connections))
    client.open()
    refused = server.websocket("/app/small").upgraded()
    assert refused.read_error()["code"] == 4004


def test_a_page_that_may_connect_does(server: Serving) -> None:
    FallbackClient(server, "1/a", f"Origin: {OURS}", key="ours").open()


# What it may do


@documented("HTTP fallbacks", "Public, private and presence channels, client events and exclusion")
@pytest.mark.parametrize("action", ACTIONS)
def test_it_hears_events_on_public_and_private_channels(server: Serving, action: str) -> None:
    client = FallbackClient(server)
    receive = client.open(action)
    for channel in ("news", "private-news"):
        auth = sign(client.socket_id, channel) if channel.startswith("private") else {}
        client.say("pusher:subscribe", {"channel": channel, **auth})
        if receive.spent:
            receive = client.receive(action)
        receive.read_event("pusher_internal:subscription_succeeded", channel)
        server.ask(trigger(channel, "event", 'žluťoučký "🐴"\n'))
        if receive.spent:
            receive = client.receive(action)
        assert receive.read_event("event", channel) == 'žluťoučký "🐴"\n'


def test_it_is_a_member_of_presence_channels(server: Serving) -> None:
    ann, bob = FallbackClient(server, "1/ann"), server.client()
    stream = ann.open()
    channel = "presence-room"
    member = json.dumps({"user_id": "ann", "user_info": {"name": "Ann"}})
    presence = ann.subscribe(stream, channel, **sign(ann.socket_id, channel, member))["presence"]
    assert presence == {"ids": ["ann"], "hash": {"ann": {"name": "Ann"}}, "count": 1}
    member = json.dumps({"user_id": "bob"})
    bob.subscribe(channel, **sign(bob.socket_id, channel, member))
    assert stream.read_event("pusher_internal:member_added", channel)["user_id"] == "bob"
    stream.peer.reset()
    server.settle()
    server.skip(7)
    removed = bob.read_event("pusher_internal:member_removed")
    assert json.loads(removed["data"]) == {"user_id": "ann"}


def test_its_client_events_go_to_the_others_and_theirs_to_it(server: Serving) -> None:
    channel = "private-room"
    ann, bob = FallbackClient(server, "1/ann"), server.client()
    stream = ann.open()
    ann.subscribe(stream, channel, **sign(ann.socket_id, channel))
    bob.subscribe(channel, **sign(bob.socket_id, channel))
    ann.say("client-greeting", {"text": "hello"}, channel=channel)
    assert json.loads(bob.read_event("client-greeting")["data"]) == {"text": "hello"}
    bob.say("client-answer", {"text": "hello yourself"}, channel=channel)
    assert stream.read_event("client-answer", channel) == {"text": "hello yourself"}
    assert stream.nothing_comes(), "its own event is not for it"


def test_an_event_leaves_out_the_client_that_it_names(server: Serving) -> None:
    client, other = FallbackClient(server, "1/a"), FallbackClient(server, "1/b")
    stream, others = client.open(), other.open()
    client.subscribe(stream, "news")
    other.subscribe(others, "news")
    body = {"name": "event", "channel": "news", "data": "d", "socket_id": client.socket_id}
    data = json.dumps(body).encode()
    target = signed("POST", "/apps/app-id/events", data)
    assert server.ask(request("POST", target, data)).status == 200
    others.read_event("event", "news")
    assert stream.nothing_comes()


def test_a_mistake_is_answered_and_ends_nothing(server: Serving) -> None:
    client = FallbackClient(server)
    stream = client.open()
    assert client.send("rubbish", {"event": "unheard-of"}).status == 204
    stream.read_event("pusher:error")
    assert "unheard-of" in stream.read_event("pusher:error")["message"]
    client.subscribe(stream, "news")


@documented("HTTP fallbacks", "A publish is encoded once for each wire form")
def test_a_publish_is_encoded_once_for_each_wire_form(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    frame, line = frames.text_frame, lines.message

    def counted_frame(payload: bytes) -> bytes:
        encoded.append("frame")
        return frame(payload)

    def counted_line(payload: bytes) -> bytes:
        encoded.append("line")
        return line(payload)

    monkeypatch.setattr(frames, "text_frame", counted_frame)
    monkeypatch.setattr(lines, "message", counted_line)
    with serving() as server:
        sockets = [server.client() for _ in range(10)]
        for socket in sockets:
            socket.subscribe("news")
        clients = [FallbackClient(server, f"1/{number}") for number in range(10)]
        streams = [client.open() for client in clients]
        for client, stream in zip(clients, streams, strict=True):
            client.subscribe(stream, "news")
        encoded.clear()
        server.ask(trigger("news", "event", "data"))
        for socket in sockets:
            socket.read_event("event")
        for stream in streams:
            stream.read_event("event", "news")
        assert sorted(encoded) == ["frame", "line"]


# Being closed


def closed_on_both(server: Serving, app: AppSettings) -> None:
    """Reload without the app, and see that both kinds of client are told the same."""
    socket = server.client()
    stream = FallbackClient(server, "1/stream").open()
    poll = FallbackClient(server, "1/poll")
    poll.open("xhr").read_end()
    waiting = poll.receive("xhr")
    server.settle()
    settings = server.look(lambda running: running.settings)
    server.background.reload(msgspec.structs.replace(settings, apps=(app,)))
    error = socket.read_error()
    code = socket.read_frame().close_code
    for receive in (stream, waiting):
        assert receive.read_event("pusher:error") == error
        assert receive.read_close() == (code, error["message"])


@documented(
    "HTTP fallbacks", "A connection ends with an error and `c`, as a WebSocket with a close"
)
def test_it_is_closed_with_the_code_and_reason_of_a_websocket(server: Serving) -> None:
    closed_on_both(server, msgspec.structs.replace(development_app(), enabled=False))


def test_it_is_closed_when_its_app_is_gone(server: Serving) -> None:
    closed_on_both(server, APPS[2])


def test_a_close_waits_for_the_next_poll(server: Serving) -> None:
    client = FallbackClient(server)
    client.open("xhr").read_end()
    settings = server.look(lambda running: running.settings)
    server.background.reload(msgspec.structs.replace(settings, apps=APPS[2:3]))
    assert client.send().status == 404, "it is listened to no more"
    receive = client.receive("xhr")
    receive.read_event("pusher:error")
    assert receive.read_close()[0] == 4001
    assert server.look(lambda running: len(running.hub.transient)) == 0
    fresh = client.receive("xhr")
    assert fresh.read_line() == "o", "the name is free again"


def test_a_close_that_nobody_comes_for_is_forgotten(server: Serving) -> None:
    client = FallbackClient(server)
    client.open("xhr").read_end()
    settings = server.look(lambda running: running.settings)
    server.background.reload(msgspec.structs.replace(settings, apps=APPS[2:3]))
    assert server.look(lambda running: len(running.hub.transient)) == 1
    server.skip(7)
    assert server.look(lambda running: len(running.hub.transient)) == 0


# Signs of life


@documented(
    "HTTP fallbacks", "What is idle for 25 s is given `h`; the client's ping is a POST of `[]`"
)
def test_an_idle_stream_is_given_a_heartbeat(server: Serving) -> None:
    stream = FallbackClient(server).open()
    server.skip(24)
    assert stream.nothing_comes()
    server.skip(2)
    assert stream.read_line() == "h"
    server.skip(26)
    assert stream.read_line() == "h"


def test_an_idle_poll_is_ended_by_a_heartbeat(server: Serving) -> None:
    client = FallbackClient(server)
    client.open("xhr").read_end()
    poll = client.receive("xhr")
    server.settle()
    server.skip(24)
    assert poll.nothing_comes()
    server.skip(2)
    assert poll.read_line() == "h"
    poll.read_end()


def test_the_clients_ping_is_answered_and_its_echo_is_not(server: Serving) -> None:
    """An echo that was taken for a ping would be echoed for ever."""
    client = FallbackClient(server)
    stream = client.open()
    assert client.send().status == 204
    assert stream.read_line() == "h"
    assert client.send().status == 204, "the echo"
    assert stream.nothing_comes()
    assert client.send().status == 204
    assert stream.read_line() == "h"
    poll = client.receive("xhr")
    server.settle()
    for _ in range(2):
        assert client.send().status == 204
        assert poll.read_line() == "h"
        poll = client.receive("xhr")
        server.settle()


@pytest.mark.parametrize("action", ACTIONS)
def test_whoever_says_nothing_is_closed_with_4201(action: str) -> None:
    with serving(activity_timeout_seconds=10, pong_timeout_seconds=4) as server:
        silent, living = FallbackClient(server, "1/silent"), FallbackClient(server, "1/living")
        receives = []
        for client in (silent, living):
            receive = client.open(action)
            receives.append(client.receive(action) if receive.spent else receive)
        server.settle()
        server.skip(11)
        for receive in receives:
            assert receive.read_line() == "h", "the server asks for a sign of life"
        if action == "xhr":
            living.receive(action)
            server.settle()
        else:
            assert living.send().status == 204
        server.skip(5)
        assert server.look(lambda running: list(running.hub.connections)) == [living.socket_id]
        last = silent.receive(action) if action == "xhr" else receives[0]
        assert last.read_event("pusher:error")["code"] == 4201
        assert last.read_close()[0] == 4201


# Many requests, one order


def test_messages_of_one_request_and_of_several_keep_their_order(server: Serving) -> None:
    client = FallbackClient(server)
    stream = client.open()
    client.send(*({"event": f"unknown-{number}"} for number in range(300)))
    peer = server.connect()
    for number in range(300, 400):
        peer.send(client.post(json.dumps([json.dumps({"event": f"unknown-{number}"})]).encode()))
    for number in range(400):
        assert f"'unknown-{number}'" in stream.read_event("pusher:error")["message"]


def subscribed(client: WebSocketPeer) -> WebSocketPeer:
    client.subscribe("news")
    return client


def test_streams_polls_and_websockets_hear_the_same_in_the_same_order(server: Serving) -> None:
    socket = subscribed(server.client())
    streaming, polling = FallbackClient(server, "1/stream"), FallbackClient(server, "1/poll")
    stream = streaming.open()
    streaming.subscribe(stream, "news")
    polling.open("xhr").read_end()
    polling.say("pusher:subscribe", {"channel": "news"})
    poll = polling.receive("xhr")
    poll.read_event("pusher_internal:subscription_succeeded", "news")
    names = [f"event-{number}" for number in range(200)]
    publisher = server.connect()
    for name in names:
        publisher.send(trigger("news", name, "d"))
    for name in names:
        socket.read_event(name)
        stream.read_event(name, "news")
    receives = polling.follow(poll, len(names))
    heard = [event for receive in receives for event in receive.events]
    assert heard == ["pusher_internal:subscription_succeeded", *names]
