"""Whoever opens, sends or leaves unread more than it should is bounded, and nobody else is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from callboard_server.brokers.memory import MemoryBroker
from callboard_server.connection import CLOSE_TIMEOUT_SECONDS, Connection
from callboard_server.fallback import routes, session
from callboard_server.front import http
from callboard_server.handlers import receive
from callboard_server.server import Server
from callboard_server.settings import development_app
from support.doors import Doors
from support.fallback import FallbackClient, Receive
from support.serving import Serving, nothing_left, serving
from support.sockets import request, signed, trigger

documented = pytest.mark.documented
OUTBOX = 100_000
#: What the kernel may hold for one client: unsent, sent, and not yet read.
KERNEL = 600_000
DATA = "x" * 9_000


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(max_outbox_bytes=OUTBOX, max_message_bytes=20_000) as running:
        yield running


def thrown_out(running: Server) -> int:
    return running.hub.slow_clients


def connections(running: Server) -> list[str]:
    return list(running.hub.connections)


def subscriber(server: Serving, receive_buffer_bytes: int | None = None) -> Receive:
    client = FallbackClient(server, "1/slow")
    stream = client.open(receive_buffer_bytes=receive_buffer_bytes)
    client.subscribe(stream, "news")
    return stream


def occupied(server: Serving) -> bool:
    target = signed("GET", "/apps/app-id/channels/news")
    answer: bool = server.ask(request("GET", target)).json()["occupied"]
    return answer


# Not reading


@documented("HTTP fallbacks", "A client that reads or asks too slowly is closed with 4100")
def test_a_stream_that_is_not_read_is_told_and_closed(server: Serving) -> None:
    stream = subscriber(server, receive_buffer_bytes=4096)
    published = 0
    while not server.look(thrown_out):
        assert server.ask(trigger("news", f"event-{published}", DATA)).status == 200
        published += 1
        assert published * len(DATA) < OUTBOX + KERNEL, "held without bound"
    assert not occupied(server), "unsubscribed at once, not when it is gone"
    number = 0
    while "pusher:error" not in (line := stream.read_line()):
        assert f"event-{number}" in line, "whole and in order"
        number += 1
        if stream.spent:
            stream = FallbackClient(server, "1/slow").receive()
    assert "reads too slowly" in line
    assert stream.read_close()[0] == 4100


def test_what_the_kernel_does_not_take_at_once_waits_in_the_outbox(server: Serving) -> None:
    """There it survives a cut."""
    subscriber(server, receive_buffer_bytes=4096)

    def held_below(running: Server) -> int | None:
        client: Any
        (client,) = running.hub.connections.values()
        return client.outlet.buffered() if client.paused else None

    while (held := server.look(held_below)) is None:
        assert server.ask(trigger("news", "event", DATA)).status == 200
    assert held < 2 * len(DATA), "more than one write"


def test_one_that_never_reads_is_cut_after_five_seconds(server: Serving) -> None:
    stream = subscriber(server, receive_buffer_bytes=4096)
    while not server.look(thrown_out):
        server.ask(trigger("news", "event", DATA))
    server.skip(CLOSE_TIMEOUT_SECONDS + 1)
    server.eventually(lambda: server.look(lambda running: len(running.hub.transient)) == 0)
    stream.peer.wait_for_end()


def test_a_response_that_is_over_and_never_read_is_cut_with_more_behind_it() -> None:
    """As a pipelined request is where the answer before it is not read."""
    with nothing_left(), serving(max_outbox_bytes=8_000_000) as server:
        stream = FallbackClient(server, "1/slow").open(receive_buffer_bytes=4096)
        stream.peer.send(request("GET", "/apps/none/channels"))
        # None of the times is running any more that a request has.
        server.skip(http.KEEP_ALIVE_SECONDS)

        def send_much(running: Server) -> None:
            (client,) = running.hub.connections.values()
            for _ in range(25):
                client.send(json.dumps("漢" * 10_000, ensure_ascii=False).encode())

        server.background.call(send_much)
        server.settle()
        FallbackClient(server, "1/slow").receive().begin()
        server.skip(http.READ_SECONDS + 1)
        stream.peer.wait_for_end()


def test_a_session_that_nobody_asks_for_holds_no_more_than_its_outbox(server: Serving) -> None:
    stream = subscriber(server)
    stream.peer.reset()
    server.settle()
    published = 0
    while not server.look(thrown_out):
        server.ask(trigger("news", "event", DATA))
        published += 1
        assert published * len(DATA) <= 2 * OUTBOX
    assert not occupied(server)
    receive = FallbackClient(server, "1/slow").receive()
    assert receive.read_event("pusher:error")["code"] == 4100
    assert receive.read_close()[0] == 4100


def test_a_full_response_holds_no_more_than_its_outbox(server: Serving) -> None:
    """A client that reads all, but never posts again."""
    stream = subscriber(server)
    while not server.look(thrown_out):
        server.ask(trigger("news", "event", DATA))
        if not stream.spent:
            stream.read_line()
    assert not occupied(server)


# Opening


@documented(
    "HTTP fallbacks", "Sessions that nobody asks for are bounded; more are closed with 4100"
)
def test_a_flood_of_sessions_is_bounded_and_passes(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_UNATTENDED", 20)
    living = FallbackClient(server, "1/living")
    stream = living.open()
    peer = server.connect()
    for number in range(50):
        receive = Receive(peer, "xhr")
        peer.send(FallbackClient(server, f"2/{number}").ask("xhr"))
        assert receive.read_line() == "o"
        if number < 20:
            receive.read_event("pusher:connection_established")
        else:
            assert receive.read_close()[0] == 4100
        receive.read_end()
    assert len(server.look(connections)) == 21
    living.subscribe(stream, "news")
    server.skip(6)
    assert server.look(connections) == [living.socket_id]
    FallbackClient(server, "3/a").open()


def test_a_flood_of_receives_is_one_receive(server: Serving) -> None:
    client = FallbackClient(server, "1/a")
    client.open()
    streams = [client.receive() for _ in range(50)]
    for stream in streams[:-1]:
        assert stream.read_close()[0] == 2010
    client.subscribe(streams[-1], "news")
    assert len(server.look(connections)) == 1


# Sending


BAD = [b"", b"{}", b"[", b'"a"', b"[1]", b'["\xff"]']


@pytest.mark.parametrize("body", BAD)
def test_a_bad_body_is_refused_and_ends_nothing(server: Serving, body: bytes) -> None:
    client = FallbackClient(server)
    stream = client.open()
    answer = client.send_body(body)
    assert answer.status == 400
    assert b"JSON list of strings" in answer.body
    assert answer.headers["access-control-allow-origin"] == "*"
    client.subscribe(stream, "news")


def test_a_message_over_the_limit_closes_with_1009_as_on_a_websocket(server: Serving) -> None:
    client = FallbackClient(server)
    stream = client.open()
    client.send('{"event":"pusher:ping","data":"' + "ž" * 9_900 + '"}')
    stream.read_event("pusher:pong")
    assert client.send("x" * 20_001, {"event": "pusher:ping"}).status == 204
    assert stream.read_close()[0] == 1009


def test_a_body_over_the_limit_is_refused_before_it_is_read(server: Serving) -> None:
    head = FallbackClient(server).post(b"").replace(b"Length: 0", b"Length: 99999999")
    answer = server.ask(head)
    assert answer.status == 413
    assert answer.headers["access-control-allow-origin"] == "*"


def test_many_messages_in_one_body_let_the_others_have_their_turn(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    taken_at_next_turn: list[int] = []

    def take(connection: Connection, text: str) -> asyncio.Task[None] | None:
        if not taken:
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: taken_at_next_turn.append(len(taken)))
        taken.append(text)
        return receive(connection, text)

    monkeypatch.setattr(session, "receive", take)
    client = FallbackClient(server)
    client.open()
    pong = json.dumps({"event": "pusher:pong"})
    assert client.send(*[pong] * 2_000).status == 204
    assert len(taken) == 2_000
    assert taken_at_next_turn[0] < 1_000


def test_a_body_of_many_messages_ends_with_its_sender(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each asks for an answer that nobody reads, so the sender is thrown out on the way."""
    taken: list[str] = []

    def take(connection: Connection, text: str) -> asyncio.Task[None] | None:
        taken.append(text)
        return receive(connection, text)

    monkeypatch.setattr(session, "receive", take)
    client = FallbackClient(server)
    client.open("xhr").read_end()
    assert client.send(*[{"event": "pusher:ping"}] * 20_000).status == 204
    assert server.look(thrown_out) == 1
    assert len(taken) < 20_000


def test_messages_wait_for_the_one_before_in_whatever_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doors = Doors(monkeypatch, "join")
    with nothing_left(), serving() as server:
        client = FallbackClient(server)
        stream = client.open()
        subscribe = {"event": "pusher:subscribe", "data": {"channel": "news"}}
        first, second = server.connect(), server.connect()
        first.send(client.post(json.dumps([json.dumps(subscribe)]).encode()))
        server.settle()
        second.send(client.post(json.dumps([json.dumps({"event": "pusher:ping"})]).encode()))
        assert second.nothing_comes()
        assert stream.nothing_comes()
        doors.open("join")
        stream.read_event("pusher_internal:subscription_succeeded", "news")
        stream.read_event("pusher:pong")
        assert (first.read_answer().status, second.read_answer().status) == (204, 204)


def test_messages_that_waited_for_a_session_that_is_over_meanwhile_are_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doors = Doors(monkeypatch, "join")
    with nothing_left(), serving() as server:
        client = FallbackClient(server)
        stream = client.open()
        subscribe = json.dumps({"event": "pusher:subscribe", "data": {"channel": "news"}})
        first, second = server.connect(), server.connect()
        for peer in (first, second):
            peer.send(client.post(json.dumps([subscribe]).encode()))
            server.settle()
        stream.peer.reset()
        server.skip(6)
        doors.open("join")
        assert (first.read_answer().status, second.read_answer().status) == (204, 404)


# A broker that takes its time


def test_a_client_that_leaves_before_it_is_admitted_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    doors = Doors(monkeypatch, "connect")
    small = msgspec.structs.replace(development_app(), max_connections=1)
    with nothing_left(), serving(apps=(small,)) as server:
        receive = FallbackClient(server, "1/a").receive()
        server.settle()
        receive.peer.reset()
        doors.open("connect")
        server.eventually(lambda: len(server.look(connections)) == 1)
        server.skip(6)
        assert server.look(connections) == []
        FallbackClient(server, "1/b").open()


def waited_for(running: Server) -> list[bool]:
    """Return of each client whether nothing can be written to it."""
    return [client.paused for client in running.hub.connections.values()]


def test_a_client_that_leaves_after_it_had_to_wait_is_seen_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doors = Doors(monkeypatch, "connect")
    with nothing_left(), serving() as server:
        client = FallbackClient(server)
        receive = client.receive()
        server.settle()
        doors.open("connect")
        client.established(receive)
        receive.peer.reset()
        server.eventually(lambda: server.look(waited_for) == [True])


def test_sessions_that_waited_to_be_admitted_are_bounded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "MAX_UNATTENDED", 20)
    doors = Doors(monkeypatch, "connect")
    small = msgspec.structs.replace(development_app(), max_connections=40)
    with nothing_left(), serving(apps=(small,)) as server:
        for number in range(30):
            receive = FallbackClient(server, f"1/{number}").receive()
            server.settle()
            receive.peer.reset()
        doors.open("connect")
        server.eventually(lambda: len(server.look(connections)) == 20)
        server.skip(6)
        assert server.look(connections) == []
        streams = [FallbackClient(server, f"2/{number}").open() for number in range(40)]
        assert len(server.look(connections)) == len(streams), "the others count no longer"


def test_two_that_open_one_session_at_once_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    doors = Doors(monkeypatch, "connect")
    small = msgspec.structs.replace(development_app(), max_connections=2)
    with nothing_left(), serving(apps=(small,)) as server:
        client = FallbackClient(server, "1/a")
        receives = [client.receive(), client.receive()]
        server.settle()
        doors.open("connect")
        server.eventually(lambda: len(server.look(connections)) == 1)
        assert receives[0].read_line() == "o"
        receives[0].read_event("pusher:connection_established")
        assert receives[0].read_close()[0] == 2010
        assert FallbackClient(server, "1/b").receive().read_line() == "o"
        server.eventually(lambda: len(server.look(connections)) == 2)


def test_a_broker_that_cannot_count_a_session_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*arguments: object) -> bool:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(MemoryBroker, "connect", fail)
    with serving() as server:
        receive = FallbackClient(server).receive()
        assert receive.read_line() == "o"
        assert receive.read_close()[0] == 4100
        assert "failed to count" in server.errors.pop().getMessage()
