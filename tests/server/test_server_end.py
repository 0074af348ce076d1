"""The end: clients are told, requests finished, nothing is left, and it never takes long."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter

import pytest

from callboard_protocol import signatures
from callboard_server import server as server_module
from support.gate import Gate
from support.serving import Serving, nothing_left, serving
from support.sockets import request, trigger
from support.websocket import close_frame

PLAIN = request("GET", "/apps/none/channels")


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with nothing_left():
        yield


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let those who keep the server waiting do so for a moment only."""
    monkeypatch.setattr(server_module, "REQUESTS_SECONDS", 0.2)
    monkeypatch.setattr(server_module, "FAREWELL_SECONDS", 0.2)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.fixture
def server(gate: Gate) -> Iterator[Serving]:
    with serving() as running:
        yield running


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def stop_in_background(
    server: Serving, pool: ThreadPoolExecutor, drain_seconds: float = 0.0
) -> Future[None]:
    """Begin to stop, and return once nobody can connect any more."""
    ending = pool.submit(server.background.stop, drain_seconds)
    end = perf_counter() + 5
    while perf_counter() < end:
        try:
            socket.create_connection(("127.0.0.1", server.port), 1).close()
        except ConnectionError:
            return ending
    raise AssertionError("it still listens")


# Clients


@pytest.mark.documented(
    "Connection",
    "When the server ends, clients are told to come back: 4100, or 4200 while it drains",
)
def test_clients_are_told_4100_and_closed(server: Serving, pool: ThreadPoolExecutor) -> None:
    clients = [server.client() for _ in range(5)]
    ending = pool.submit(server.background.stop)
    for client in clients:
        error = client.read_error()
        assert error["code"] == 4100
        assert client.read_frame().close_code == 4100
        client.send(close_frame(4100))
        assert client.read_rest() == b""
    ending.result(5)


def test_what_was_published_before_the_end_arrives(server: Serving, short_waits: None) -> None:
    client = server.client()
    client.subscribe("channel")
    for number in range(20):
        server.ask(trigger("channel", f"event-{number}", "data"))
    server.background.stop()
    *events, error, close = client.read_frames()
    assert [event.json()["event"] for event in events] == [f"event-{n}" for n in range(20)]
    assert error.json()["data"]["code"] == close.close_code == 4100


def test_clients_that_never_answer_are_cut(server: Serving, short_waits: None) -> None:
    clients = [server.client() for _ in range(5)]
    stalled = server.client(receive_buffer_bytes=4096)
    stalled.subscribe("channel")
    refused = server.websocket("/app/unknown")
    for _ in range(60):
        server.ask(trigger("channel", "event", "x" * 9_000))
    began = perf_counter()
    server.background.stop()
    assert perf_counter() - began < 2
    for client in (*clients, refused):
        client.wait_for_end()


@pytest.mark.documented(
    "Connection",
    "When the server ends, clients are told to come back: 4100, or 4200 while it drains",
)
def test_a_drain_spreads_4200_over_its_time(server: Serving, pool: ThreadPoolExecutor) -> None:
    clients = [server.client() for _ in range(6)]
    arrivals = []
    began = perf_counter()
    ending = pool.submit(server.background.stop, 0.6)
    for client in clients:
        assert client.read_error()["code"] == 4200
        arrivals.append(perf_counter() - began)
        assert client.read_frame().close_code == 4200
        client.send(close_frame(4200))
        assert client.read_rest() == b""
    ending.result(5)
    for place, arrival in enumerate(arrivals):
        assert arrival > 0.1 * place - 0.02, "they must not all come back at once"


def test_the_drain_of_the_settings_is_the_default(short_waits: None) -> None:
    with serving(drain_seconds=0.05) as server:
        client = server.client()
        server.background.stop()
        assert client.read_error()["code"] == 4200


def test_requests_are_answered_during_a_drain(
    server: Serving, pool: ThreadPoolExecutor, short_waits: None
) -> None:
    """On connections that were there before: nobody can connect any more."""
    for _ in range(4):
        server.client()
    with server.connect() as peer, server.connect() as other:
        for waiting in (peer, other):
            waiting.send(PLAIN)
            assert waiting.read_answer().status == 404
        ending = stop_in_background(server, pool, drain_seconds=0.4)
        other.send(request("GET", "/ready"))
        answer = other.read_answer()
        assert (answer.status, answer.json()["ready"]) == (503, False)
        peer.send(PLAIN)
        assert peer.read_answer().status == 404
        assert peer.read_rest() == b""
        ending.result(5)


# Requests


def test_idle_connections_are_closed_at_once(server: Serving) -> None:
    fresh, kept = server.connect(), server.connect()
    kept.send(PLAIN)
    kept.read_answer()
    began = perf_counter()
    server.background.stop()
    assert perf_counter() - began < 1
    assert fresh.read_rest() == kept.read_rest() == b""


def test_a_request_in_flight_is_answered(
    server: Serving, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    peer = server.connect()
    peer.send(request("GET", "/apps/none/channels", None, "X-Wait: yes"))
    server.settle()
    ending = stop_in_background(server, pool)
    assert peer.nothing_comes()
    gate.open()
    answer = peer.read_answer()
    assert (answer.status, answer.headers["connection"]) == (404, "close")
    assert peer.read_rest() == b""
    ending.result(5)


def test_a_request_that_has_begun_to_arrive_is_answered(
    server: Serving, pool: ThreadPoolExecutor
) -> None:
    peer = server.connect()
    whole = trigger("channel", "event", "data")
    peer.send(whole[:-10])
    server.settle()
    ending = stop_in_background(server, pool)
    peer.send(whole[-10:])
    answer = peer.read_answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    ending.result(5)


@pytest.mark.parametrize(
    "sent",
    [
        request("GET", "/apps/none/channels", None, "X-Wait: yes"),
        trigger("channel", "event", "data")[:-10],
        request("GET", "/apps/none", None, "X-Size: 30000000"),
        request("GET", "/apps/none", None, "X-Size: 30000000", "Connection: close"),
        b"POST /apps/none HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
    ],
    ids=["never answered", "never sent", "never read", "never read to its close", "refused"],
)
def test_a_request_that_never_ends_is_cut(server: Serving, short_waits: None, sent: bytes) -> None:
    peer = server.connect(receive_buffer_bytes=4096)
    peer.send(sent)
    server.settle()
    began = perf_counter()
    server.background.stop()
    assert perf_counter() - began < 2
    peer.wait_for_end()


def test_members_sent_away_together_do_not_hear_of_the_others_leaving(
    server: Serving, pool: ThreadPoolExecutor, short_waits: None
) -> None:
    """Else a member list would empty itself at every restart, with the square of its length."""
    members = [server.client() for _ in range(3)]
    for number, member in enumerate(members):
        data = json.dumps({"user_id": f"user-{number}"})
        string = signatures.channel_string(member.socket_id, "presence-a", data)
        auth = signatures.auth("app-key", "app-secret", string)
        member.subscribe("presence-a", auth=auth, channel_data=data)
    for number, member in enumerate(members):
        for _ in members[number + 1 :]:
            member.read_event("pusher_internal:member_added")
    stopping = stop_in_background(server, pool)
    for member in members:
        *said, close = member.read_frames_until_close()
        assert [frame.json()["event"] for frame in said] == ["pusher:error"]
        assert close.close_code == 4100
    stopping.result(10)
