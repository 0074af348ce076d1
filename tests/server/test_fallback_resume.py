"""A session outlives its responses: nothing is lost, doubled or reordered that could be kept."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from callboard_server.server import Server
from callboard_server.settings import development_app
from support.fallback import BUFFER_LIMIT, FallbackClient, Receive, length
from support.serving import Serving, serving
from support.sockets import request, signed

documented = pytest.mark.documented
ACTIONS = ("xhr_streaming", "xhr")
#: Of one, two, three and four bytes a character, the last two code units of UTF-16.
ALPHABETS = {"ASCII": "x", "Czech": "ž", "Chinese": "漢", "emoji": "🐴", "mixed": "xž漢🐴"}
LIFETIME = 5.0


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving(max_outbox_bytes=8_000_000) as running:
        yield running


class Publisher:
    """Publishes numbered events to one channel, on one connection."""

    def __init__(self, server: Serving) -> None:
        self._peer = server.connect()
        self.names: list[str] = []

    def publish(self, count: int = 1, data: str = "d") -> None:
        for _ in range(count):
            name = f"event-{len(self.names)}"
            self.names.append(name)
            # As it is, and not as \u escapes.
            event = {"name": name, "channel": "news", "data": data}
            body = json.dumps(event, ensure_ascii=False).encode()
            self._peer.send(request("POST", signed("POST", "/apps/app-id/events", body), body))
            assert self._peer.read_answer().status == 200


@pytest.fixture
def publisher(server: Serving) -> Publisher:
    return Publisher(server)


def subscriber(server: Serving, name: str = "1/a") -> tuple[FallbackClient, Receive]:
    client = FallbackClient(server, name)
    stream = client.open()
    client.subscribe(stream, "news")
    return client, stream


def unattended(running: Server) -> bool:
    """Whether the one client is waited for."""
    (client,) = running.hub.connections.values()
    return client.paused


def occupied(server: Serving) -> bool:
    target = signed("GET", "/apps/app-id/channels/news")
    answer: bool = server.ask(request("GET", target)).json()["occupied"]
    return answer


def cut(server: Serving, receive: Receive) -> None:
    """Cut a receive, and wait until the server has seen it."""
    receive.peer.reset()
    server.eventually(lambda: server.look(unattended))


# A long stream


@documented(
    "HTTP fallbacks",
    "A stream goes on in the next response after 256 KiB, counted in UTF-16 code units: "
    "no second `o`, nothing lost, doubled or reordered",
)
@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
def test_a_stream_goes_on_in_the_next_response(
    server: Serving, publisher: Publisher, alphabet: str
) -> None:
    client, stream = subscriber(server)
    text = (alphabet * 2_000)[:2_000]
    publisher.publish(400, text)
    first, *others = client.follow(stream, 400)
    receives = [first, *others]
    heard = [event for receive in receives for event in receive.events]
    assert heard[2:] == publisher.names
    assert len(receives) >= 3
    assert first.text.startswith("o\n")
    assert not any("o\n" in receive.text.split("a[")[0] for receive in others)
    for receive in receives[:-1]:
        *lines, last = receive.text.splitlines(keepends=True)
        assert length("".join(lines)) <= BUFFER_LIMIT < length("".join([*lines, last]))


def test_a_full_response_ends_and_what_follows_waits_for_the_next(
    server: Serving, publisher: Publisher
) -> None:
    """Left open, its last line could stay in a proxy that buffers."""
    client, stream = subscriber(server)
    publisher.publish(40, "x" * 9_000)
    while not stream.spent:
        stream.read_line()
    stream.read_end()
    client.say("pusher:ping")
    rest = client.receive()
    read = len(stream.events) - 2
    for name in publisher.names[read:]:
        rest.read_event(name, "news")
    rest.read_event("pusher:pong")


def test_the_limit_is_passed_by_a_character_and_not_reached(
    server: Serving, publisher: Publisher
) -> None:
    client, stream = subscriber(server)
    publisher.publish(1)
    stream.read_event("event-0", "news")
    overhead = length(stream.text.splitlines(keepends=True)[-1]) - 1
    while BUFFER_LIMIT - length(stream.text) > 9_000:
        publisher.publish(1, "x" * 8_000)
        stream.read_event(publisher.names[-1], "news")
    # Names have two more digits by now, at most.
    missing = BUFFER_LIMIT - length(stream.text) - overhead
    missing -= len(f"event-{len(publisher.names)}") - len("event-0")
    publisher.publish(1, "x" * missing)
    stream.read_event(publisher.names[-1], "news")
    assert length(stream.text) == BUFFER_LIMIT
    publisher.publish(2)
    stream.read_event(publisher.names[-2], "news")
    stream.read_end()
    client.receive().read_event(publisher.names[-1], "news")


def test_polls_are_no_longer_than_pusher_js_reads_them(
    server: Serving, publisher: Publisher
) -> None:
    """A longer one is given up by it while it is read."""
    client, stream = subscriber(server)
    cut(server, stream)
    publisher.publish(100, "🐴" * 2_000)
    receives = client.follow(client.receive("xhr"), 100)
    assert [event for receive in receives for event in receive.events] == publisher.names
    assert len(receives) == 2
    *lines, _ = receives[0].text.splitlines(keepends=True)
    assert length("".join(lines)) <= BUFFER_LIMIT < length(receives[0].text)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_line_longer_than_a_response_fills_one(action: str) -> None:
    generous = msgspec.structs.replace(development_app(), max_event_payload_bytes=1_000_000)
    with serving(apps=(generous,), max_outbox_bytes=4_000_000) as server:
        client, stream = subscriber(server)
        cut(server, stream)
        publisher = Publisher(server)
        publisher.publish(3, "x" * 300_000)
        receives = client.follow(client.receive(action), 3)
        assert [receive.events for receive in receives] == [[name] for name in publisher.names]


# A real cut


@documented(
    "HTTP fallbacks",
    "A client that comes back to its session in time gets what was published since it was seen "
    "to be cut off",
)
@pytest.mark.parametrize("action", ACTIONS)
def test_what_was_published_after_a_cut_waits(
    server: Serving, publisher: Publisher, action: str
) -> None:
    client, stream = subscriber(server)
    publisher.publish(3)
    client.follow(stream, 3)
    cut(server, stream)
    publisher.publish(50)
    receives = client.follow(client.receive(action), 50)
    assert [event for receive in receives for event in receive.events] == publisher.names[3:]
    last = receives[-1] if action == "xhr_streaming" else client.receive(action)
    assert last.nothing_comes()


@pytest.mark.parametrize("behind", [b"", request("GET", "/apps/none/channels")])
def test_a_browser_that_gives_a_request_up_is_seen_to(
    server: Serving, publisher: Publisher, behind: bytes
) -> None:
    """It only ends its side of the connection."""
    client, stream = subscriber(server)
    stream.peer.send(behind)
    stream.peer.half_close()
    stream.peer.read_rest()
    assert server.look(unattended)
    publisher.publish()
    client.receive().read_event("event-0", "news")


@documented("HTTP fallbacks", "A session that nobody asks for leaves its channels after 5 s")
def test_a_session_that_nobody_asks_for_ends(server: Serving, publisher: Publisher) -> None:
    client, stream = subscriber(server)
    cut(server, stream)
    server.skip(LIFETIME - 0.5)
    assert occupied(server)
    client.say("pusher:ping")
    server.skip(1.5)
    assert not occupied(server), "a send is no receive"
    assert server.look(lambda running: len(running.hub.connections)) == 0
    assert client.send().status == 404


def test_its_time_begins_again_with_each_receive(server: Serving) -> None:
    client, stream = subscriber(server)
    for _ in range(4):
        cut(server, stream)
        server.skip(LIFETIME - 1)
        stream = client.receive().begin()
        assert stream.nothing_comes()
    server.skip(LIFETIME + 1)
    assert occupied(server)


def test_the_lifetime_is_a_setting() -> None:
    with serving(fallback_session_timeout_seconds=60) as server:
        _, stream = subscriber(server)
        cut(server, stream)
        server.skip(59)
        assert occupied(server)
        server.skip(3)
        assert not occupied(server)


@documented("HTTP fallbacks", "The name of a session that is over opens another one")
def test_an_old_name_replayed_is_a_new_session(server: Serving, publisher: Publisher) -> None:
    client, stream = subscriber(server)
    before = client.socket_id
    cut(server, stream)
    publisher.publish(5)
    server.skip(LIFETIME + 1)
    again = client.open()
    assert client.socket_id != before
    publisher.publish()
    assert again.nothing_comes(), "it is in no channel, and nothing of the old one is there"


# Two receives at once


@documented("HTTP fallbacks", "A second receive at the same time replaces the first")
@pytest.mark.parametrize("second", ACTIONS)
@pytest.mark.parametrize("first", ACTIONS)
def test_a_second_receive_replaces_the_first(
    server: Serving, publisher: Publisher, first: str, second: str
) -> None:
    client, stream = subscriber(server)
    if first == "xhr":
        cut(server, stream)
        stream = client.receive("xhr")
        server.settle()
    other = client.receive(second)
    assert stream.read_close() == (2010, "Another connection still open")
    publisher.publish()
    other.read_event("event-0", "news")
    assert server.look(lambda running: list(running.hub.connections)) == [client.socket_id]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_the_end_of_a_replaced_receive_changes_nothing(
    server: Serving, publisher: Publisher, version: str
) -> None:
    """Over HTTP/1.0 it ends with its connection, later than it is replaced."""
    client, first = subscriber(server)
    stream = Receive(server.connect(), "xhr_streaming")
    stream.peer.send(client.ask(version=version))
    first.read_close()
    stream.begin()
    other = client.receive().begin()
    stream.peer.read_through(b"c[2010,")
    stream.peer.reset()
    server.skip(LIFETIME + 1)
    publisher.publish()
    other.read_event("event-0", "news")


def test_two_that_open_one_session_at_once_open_one(server: Serving) -> None:
    client = FallbackClient(server)
    peers = [server.connect() for _ in range(5)]
    for peer in peers:
        peer.send(client.ask())
    server.settle()
    assert server.look(lambda running: len(running.hub.connections)) == 1


# Names


def others(server: Serving) -> Iterator[FallbackClient]:
    yield FallbackClient(server, "1/a", "Origin: https://evil.example")
    yield FallbackClient(server, "2/a")
    yield FallbackClient(server, "1/A")


def test_a_session_is_only_for_whoever_comes_as_its_opener_came(
    server: Serving, publisher: Publisher
) -> None:
    client, stream = subscriber(server)
    for other in others(server):
        assert (
            other.send({"event": "pusher:unsubscribe", "data": {"channel": "news"}}).status == 404
        )
        its_own = other.open()
        assert other.socket_id != client.socket_id
        assert its_own.nothing_comes()
    publisher.publish()
    stream.read_event("event-0", "news")
