"""A client that does not read is bounded, taken out and told so; the others do not notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from statistics import median
from time import perf_counter

import pytest

from callboard_protocol.frames import CLOSE, PING, PONG
from callboard_server.connection import CLOSE_TIMEOUT_SECONDS
from callboard_server.server import Server
from support.gate import Gate
from support.serving import Serving, open_sockets, serving
from support.sockets import Peer, request, signed, trigger
from support.websocket import Frame, WebSocketPeer, close_frame, frame, text_frame

OUTBOX = 100_000
#: What the kernel may hold for one client: unsent, sent, and not yet read.
KERNEL = 600_000
DATA = "x" * 9_000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    Gate(monkeypatch)
    with serving(max_outbox_bytes=OUTBOX) as running:
        yield running


class Publisher:
    """Publishes numbered events to one channel, on one connection."""

    def __init__(self, server: Serving, data: str = DATA) -> None:
        self._peer = server.connect()
        self._data = data
        self.count = 0

    def publish(self) -> None:
        self._peer.send(trigger("channel", f"event-{self.count}", self._data))
        assert self._peer.read_answer().status == 200
        self.count += 1


def reluctant(server: Serving) -> WebSocketPeer:
    """Return a subscriber of the channel for which the kernel holds little."""
    client = server.client(receive_buffer_bytes=4096)
    client.subscribe("channel")
    return client


def names(frames: list[Frame]) -> list[str]:
    return [frame.json()["event"] for frame in frames]


def occupied(server: Serving) -> bool:
    target = signed("GET", "/apps/app-id/channels/channel")
    answer: bool = server.ask(request("GET", target)).json()["occupied"]
    return answer


def full(running: Server) -> bool:
    """Whether the kernel takes no more for some client."""
    return any(client.paused for client in running.hub.connections.values())


def thrown_out(running: Server) -> int:
    return running.hub.slow_clients


def publish_until_closed(server: Serving, publisher: Publisher) -> None:
    """Publish until the one reluctant client has been thrown out, which must be soon."""
    while not server.look(thrown_out):
        publisher.publish()
        assert publisher.count * len(DATA) < OUTBOX + KERNEL, "held without bound"


def publish_until_held(server: Serving, publisher: Publisher) -> None:
    """Publish until some events wait in the server, but less than the outbox."""
    while not server.look(full):
        publisher.publish()
    for _ in range(OUTBOX // len(DATA) // 2):
        publisher.publish()
    assert server.look(full)


@pytest.mark.documented("Connection", "A client that reads too slowly is closed with 4100")
def test_a_client_that_does_not_read_is_told_and_closed(server: Serving) -> None:
    client = reluctant(server)
    publisher = Publisher(server)
    publish_until_closed(server, publisher)
    assert server.look(lambda running: len(running.hub.connections)) == 0
    assert not occupied(server), "unsubscribed at once, not when it is gone"
    for _ in range(20):
        publisher.publish()
    *events, error, close = client.read_frames_until_close()
    assert names(events) == [f"event-{n}" for n in range(len(events))], "whole and in order"
    assert error.json()["event"] == "pusher:error"
    assert error.json()["data"]["code"] == 4100
    assert "reads too slowly" in error.json()["data"]["message"]
    assert close.close_code == 4100
    client.send(close_frame(4100))
    assert client.read_rest() == b""


def test_the_others_get_everything_in_order(server: Serving) -> None:
    reader, client = server.client(), reluctant(server)
    reader.subscribe("channel")
    publisher = Publisher(server)
    while server.look(thrown_out) == 0 or publisher.count < 100:
        publisher.publish()
        reader.read_event(f"event-{publisher.count - 1}")
    assert reader.still_up()
    client.reset()


def test_the_others_wait_no_longer(server: Serving) -> None:
    def latency() -> float:
        publisher, spans = Publisher(server, "x"), []
        for number in range(60):
            began = perf_counter()
            publisher.publish()
            reader.read_event(f"event-{number}")
            spans.append(perf_counter() - began)
        return median(spans)

    reader = server.client()
    reader.subscribe("channel")
    alone = latency()
    stalled = [reluctant(server) for _ in range(30)]
    publisher = Publisher(server)
    while server.look(thrown_out) == 0:
        publisher.publish()
        reader.read_event(f"event-{publisher.count - 1}")
    assert latency() < 10 * alone + 0.02
    assert len(stalled) == 30


def test_one_that_never_reads_is_cut_after_five_seconds(server: Serving) -> None:
    before = open_sockets()
    client = reluctant(server)
    both = open_sockets() - before
    assert len(both) == 2
    publish_until_closed(server, Publisher(server))
    server.skip(CLOSE_TIMEOUT_SECONDS - 1)
    server.settle()
    assert both <= open_sockets()
    server.skip(2)
    server.eventually(lambda: len(both & open_sockets()) == 1)
    assert server.look(lambda running: len(running.hub.transient)) == 0
    client.close()


def test_one_that_reads_late_but_in_time_loses_nothing(server: Serving) -> None:
    client = reluctant(server)
    publisher = Publisher(server, "x" * 5_000)
    for _ in range(40):
        first = publisher.count
        # Less than the outbox, more in sum than outbox and kernel together.
        for _ in range(15):
            publisher.publish()
        for number in range(first, publisher.count):
            client.read_event(f"event-{number}")
    assert client.still_up()
    assert server.look(thrown_out) == 0


@pytest.mark.parametrize(
    "asked",
    [text_frame({"event": "pusher:ping"}), frame(PING, b"x" * 125), text_frame("rubbish")],
    ids=["pusher:ping", "ping", "rubbish"],
)
def test_one_that_asks_without_reading_is_bounded_too(server: Serving, asked: bytes) -> None:
    client = server.client(receive_buffer_bytes=4096)
    sent = 0
    client.socket.settimeout(0.2)
    try:
        while server.look(thrown_out) == 0:
            client.send(asked * 500)
            sent += len(asked) * 500
            assert sent < 20 * (OUTBOX + KERNEL)
    except TimeoutError:
        pass
    client.socket.settimeout(5)
    *answers, _, close = client.read_frames_until_close()
    assert answers
    assert close.close_code == 4100


def test_a_close_of_one_that_has_not_read_is_echoed_behind_what_waits(server: Serving) -> None:
    client = reluctant(server)
    publisher = Publisher(server)
    publish_until_held(server, publisher)
    client.send(close_frame(1000))
    server.settle()
    *events, close = client.read_frames_until_close()
    assert names(events) == [f"event-{n}" for n in range(publisher.count)]
    assert close.close_code == 1000
    assert client.read_rest() == b""


def test_one_that_left_answers_unread_before_its_upgrade_is_bounded_too(server: Serving) -> None:
    """Else it would have become a WebSocket that nobody knows to be slow."""
    size = 3_000_000
    asked = request("GET", "/apps/any", None, f"X-Size: {size}")
    subscribe = text_frame({"event": "pusher:subscribe", "data": {"channel": "channel"}})
    client = server.websocket(before=asked, behind=subscribe, receive_buffer_bytes=4096)
    publisher = Publisher(server)
    for _ in range(60):
        publisher.publish()
    assert server.look(lambda running: len(running.hub.connections)) == 0
    assert len(client.read_answer().body) == size
    client.established()
    client.read_event("pusher_internal:subscription_succeeded")
    publisher.publish()
    client.read_event("event-60")


def test_pongs_wait_their_turn_behind_events(server: Serving) -> None:
    client = reluctant(server)
    publisher = Publisher(server)
    publish_until_held(server, publisher)
    client.send(frame(PING, b"behind"))
    server.settle()
    for number in range(publisher.count):
        client.read_event(f"event-{number}")
    answer = client.read_frame()
    assert (answer.opcode, answer.payload) == (PONG, b"behind")


def test_a_publisher_is_not_slowed_by_its_own_slow_subscriber(server: Serving) -> None:
    """One connection, whose events go to itself as well: the request is answered all the same."""
    client = reluctant(server)
    peer = Peer(server.port)
    body = json.dumps({"name": "event", "channel": "channel", "data": DATA}).encode()
    target = signed("POST", "/apps/app-id/events", body)
    with peer:
        for _ in range(200):
            peer.send(request("POST", target, body))
            assert peer.read_answer().status == 200
    assert server.look(thrown_out) == 1
    assert client.read_frames_until_close()[-1].opcode == CLOSE
