"""Long answers over HTTP: how they look to any client, and what may be around them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from callboard_protocol import refusals
from callboard_server import connection
from callboard_server import server as server_module
from callboard_server.fallback.routes import Fallback
from callboard_server.front.http import HTTPConnection
from callboard_server.front.request import Request, Response
from callboard_server.server import Server
from support.fallback import FallbackClient, Receive
from support.serving import Serving, nothing_left, serving
from support.sockets import TIMEOUT_SECONDS, Peer, request, trigger
from support.websocket import text_frame, upgrade

documented = pytest.mark.documented
ACTIONS = ("xhr_streaming", "xhr", "xhr_send")
PATH = "/pusher/app/app-key/1/a"
PLAIN = request("GET", "/apps/none/channels")


@pytest.fixture
def server() -> Iterator[Serving]:
    with nothing_left(), serving() as running:
        yield running


def end_sessions(server: Serving) -> None:
    """Let the server close its clients, and stay."""

    def end(running: Server) -> None:
        for client in list(running.hub.connections.values()):
            client.end(refusals.RECONNECT)

    server.background.call(end)


# What browsers ask first


@documented("HTTP fallbacks", "Pages of any origin may ask (CORS), errors included")
@pytest.mark.parametrize("action", ACTIONS)
def test_a_preflight_allows_the_post(server: Serving, action: str) -> None:
    answer = server.ask(
        request(
            "OPTIONS",
            f"{PATH}/{action}?t=1",
            None,
            "Origin: https://shop.example",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type",
        )
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "content-type"
    assert int(answer.headers["access-control-max-age"]) >= 3600
    assert "content-length" not in answer.headers, "RFC 9110, 8.6"


WRONG = [
    ("GET", f"{PATH}/xhr", 405),
    ("PUT", f"{PATH}/xhr_send", 405),
    ("POST", f"{PATH}/xhr_send", 404),
    ("POST", f"{PATH}/eventsource", 404),
    ("POST", f"{PATH}/xhr/more", 404),
    ("POST", "/pusher/app/app-key/1/xhr", 404),
    ("POST", "/pusher/app/app-key//a/xhr", 404),
    ("POST", "/pusher/app//1/a/xhr", 404),
    ("POST", f"/pusher/app/app-key/1/{'a' * 65}/xhr", 404),
    ("POST", "/pusher/app/app-key/1/%61/xhr", 404),
    ("OPTIONS", "/pusher/app/app-key", 404),
]


@pytest.mark.parametrize(("method", "target", "status"), WRONG)
def test_what_is_not_there_says_so_to_any_page(
    server: Serving, method: str, target: str, status: int
) -> None:
    peer = server.connect()
    peer.send(request(method, target, b"[]"), PLAIN)
    answer = peer.read_answer()
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.body.endswith(b"\n")
    assert answer.headers.get("allow") == ("POST, OPTIONS" if status == 405 else None)
    assert peer.read_answer().status == 404


def test_a_fault_of_ours_is_told_to_any_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(fallback: Fallback, asked: Request) -> Response:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(Fallback, "handle", fail)
    with serving() as server:
        answer = server.ask(request("POST", f"{PATH}/xhr", b""))
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (500, "*")
        assert server.errors.pop().getMessage() == "a request failed"


@pytest.mark.parametrize(
    "target", ["/app/app-key/1/a/xhr", "/pusher", "/pusher/apps/app-id/events"]
)
def test_what_is_elsewhere_is_not_the_fallbacks(server: Serving, target: str) -> None:
    answer = server.ask(request("POST", target, b""))
    assert answer.status == 404
    assert "access-control-allow-origin" not in answer.headers


# Paths


PREFIXES = [
    # path_prefix, fallback_path_prefix, what is asked
    ("", "/pusher", ["/pusher"]),
    ("", "/real/time", ["/real/time"]),
    ("", "", [""]),
    ("/outer", "/pusher", ["/outer/pusher", "/pusher"]),
    ("/pusher", "/pusher", ["/pusher", "/pusher/pusher", ""]),
    ("/outer", "/outer/pusher", ["/outer/pusher", "/outer/outer/pusher"]),
    ("/push", "/pusher", ["/pusher", "/push/pusher"]),
]


@pytest.mark.parametrize(("outer", "inner", "asked"), PREFIXES)
def test_the_paths_begin_as_configured(outer: str, inner: str, asked: list[str]) -> None:
    with serving(path_prefix=outer, fallback_path_prefix=inner) as server:
        for number, prefix in enumerate(asked):
            client = FallbackClient(server, f"1/{number}", prefix=prefix)
            client.subscribe(client.open(), "news")
        socket = server.websocket(f"{outer}/app/app-key").established()
        assert socket.still_up()
        assert server.ask(trigger("news", "event", "d")).status == 200


def test_a_key_is_the_same_however_it_is_escaped(server: Serving) -> None:
    client = FallbackClient(server)
    stream = client.open()
    FallbackClient(server, key="app%2Dkey").say("pusher:ping")
    stream.read_event("pusher:pong")


# HTTP/1.0, and connections that end


def test_a_stream_to_http_1_0_is_what_comes_before_the_end(server: Serving) -> None:
    client = FallbackClient(server)
    peer = server.connect()
    peer.send(client.ask(version="1.0"))
    head = peer.read_through(b"\r\n\r\n").lower()
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert peer.read_through(b"\n") == b"o\n"
    assert b"connection_established" in peer.read_through(b"\n")
    end_sessions(server)
    assert b"pusher:error" in peer.read_through(b"\n")
    assert peer.read_rest().startswith(b"c[4200,")


def test_a_stream_to_http_1_0_ends_with_its_connection_even_if_that_was_to_be_kept(
    server: Serving,
) -> None:
    """Nothing else could tell its end."""
    peer = server.connect()
    asked = FallbackClient(server).ask(version="1.0")
    peer.send(asked.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"))
    assert b"connection: close" in peer.read_through(b"\r\n\r\n").lower()
    peer.read_through(b"connection_established")
    end_sessions(server)
    assert b"c[4200," in peer.read_rest()


def test_a_poll_of_http_1_0_ends_with_its_connection(server: Serving) -> None:
    client = FallbackClient(server)
    peer = server.connect()
    peer.send(client.ask("xhr", version="1.0"))
    poll = Receive(peer, "xhr")
    client.established(poll)
    assert poll.headers["connection"] == "close"
    assert peer.read_rest() == b""
    client.say("pusher:ping")
    client.receive("xhr").read_event("pusher:pong")


def test_a_connection_that_is_to_end_ends_behind_the_stream(server: Serving) -> None:
    client = FallbackClient(server)
    peer = server.connect()
    peer.send(client.ask().replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    stream = Receive(peer, "xhr_streaming")
    client.established(stream)
    assert stream.headers["connection"] == "close"
    end_sessions(server)
    stream.read_event("pusher:error")
    assert stream.read_close()[0] == 4200
    assert peer.read_rest() == b""


def test_a_connection_is_kept_behind_the_end_of_a_stream(server: Serving) -> None:
    client = FallbackClient(server)
    stream = client.open()
    end_sessions(server)
    stream.read_event("pusher:error")
    assert stream.read_close()[0] == 4200
    stream.peer.send(PLAIN)
    assert stream.peer.read_answer().status == 404
    stream.peer.send(client.ask())
    client.established(Receive(stream.peer, "xhr_streaming"))


# Behind a long answer


@pytest.mark.parametrize("action", ["xhr_streaming", "xhr"])
def test_what_is_pipelined_behind_waits_for_the_end(server: Serving, action: str) -> None:
    client = FallbackClient(server)
    client.open("xhr").read_end()
    peer = server.connect()
    peer.send(client.ask(action) + PLAIN)
    receive = Receive(peer, action)
    if action == "xhr_streaming":
        receive.begin()
    assert receive.nothing_comes()
    peer.send(PLAIN, PLAIN)
    client.say("pusher:ping")
    receive.read_event("pusher:pong")
    if action == "xhr_streaming":
        assert receive.nothing_comes()
        end_sessions(server)
        receive.read_event("pusher:error")
        receive.read_close()
    receive.read_end()
    assert [peer.read_answer().status for _ in range(3)] == [404] * 3


def test_polls_may_be_pipelined(server: Serving) -> None:
    client = FallbackClient(server)
    peer = server.connect()
    peer.send(client.ask("xhr") * 3)
    client.established(Receive(peer, "xhr"))
    for _ in range(2):
        client.say("pusher:ping")
        poll = Receive(peer, "xhr")
        poll.read_event("pusher:pong")
        poll.read_end()


def take_in(server: Serving, peer: Peer, requests: memoryview) -> int:
    """Send until neither the server nor the kernel takes more; return how much that was."""
    before, sent = -1, 0
    peer.socket.setblocking(False)
    while before != sent:
        before = sent
        server.settle()
        with suppress(BlockingIOError):
            while True:
                sent += peer.socket.send(requests[sent:])
    peer.socket.settimeout(TIMEOUT_SECONDS)
    return sent


def test_what_is_pipelined_behind_a_stream_is_left_to_the_kernel(server: Serving) -> None:
    stream = FallbackClient(server).open()
    requests = memoryview(PLAIN * 400_000)
    assert take_in(server, stream.peer, requests) < len(requests)


def test_polls_that_are_pipelined_for_ever_do_not_pile_up(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[HTTPConnection] = Counter()
    receive = HTTPConnection.data_received

    def counting(connection: HTTPConnection, data: bytes) -> None:
        read[connection] += len(data)
        receive(connection, data)

    monkeypatch.setattr(HTTPConnection, "data_received", counting)
    client = FallbackClient(server)
    client.open("xhr").read_end()
    peer = server.connect()
    requests = memoryview(client.ask("xhr") * 200_000)
    sent = take_in(server, peer, requests)
    assert sent < len(requests), "the kernel is full, and not the server"
    before = max(read.values())
    for _ in range(8):
        client.say("pusher:ping")
        poll = Receive(peer, "xhr")
        poll.read_event("pusher:pong")
        poll.read_end()
        # The kernel may take more than the server has read: its buffers grow.
        sent += take_in(server, peer, requests[sent:])
    more = max(read.values()) - before
    assert more < 128 * 1024, "8 requests were answered, and that much must be read for them"


def test_a_websocket_may_follow_a_stream(server: Serving) -> None:
    client = FallbackClient(server)
    stream = client.open()
    stream.peer.send(upgrade())
    assert stream.nothing_comes()
    end_sessions(server)
    stream.read_event("pusher:error")
    stream.read_close()
    assert stream.peer.read_answer().status == 101


@pytest.mark.parametrize("behind", [text_frame({"event": "pusher:ping"}), PLAIN])
def test_what_comes_behind_an_upgrade_that_waits_is_no_http(server: Serving, behind: bytes) -> None:
    """Read as a request, it would be answered, and before the upgrade."""
    stream = FallbackClient(server).open()
    stream.peer.send(upgrade())
    server.settle()
    stream.peer.send(behind)
    server.settle()
    end_sessions(server)
    stream.read_event("pusher:error")
    stream.read_close()
    assert stream.peer.read_answer().status == 101
    if behind != PLAIN:
        stream.peer.read_through(b"pusher:pong")


def test_rubbish_behind_a_stream_is_answered_behind_it(server: Serving) -> None:
    client = FallbackClient(server)
    stream = client.open()
    stream.peer.send(b"rubbish\r\n\r\n" * 10_000)
    assert stream.nothing_comes()
    client.subscribe(stream, "news")
    end_sessions(server)
    stream.read_event("pusher:error")
    stream.read_close()
    assert stream.peer.read_answer().status == 400


def test_a_client_that_has_gone_with_more_behind_is_found_by_a_heartbeat(server: Serving) -> None:
    """What waits behind the stream is not read, and so its end is not seen."""
    client = FallbackClient(server)
    stream = client.open()
    stream.peer.send(PLAIN * 20_000)
    server.settle()
    stream.peer.reset()
    server.skip(26)
    server.skip(26)
    server.skip(6)
    assert server.look(lambda running: len(running.hub.connections)) == 0


def test_a_stream_outlives_the_times_that_requests_have(server: Serving) -> None:
    """Head, body and keep-alive have theirs; a long answer has none."""
    client = FallbackClient(server)
    stream = client.open()
    for _ in range(5):
        server.skip(24)
        assert client.send().status == 204
        assert stream.read_line() == "h"
    client.subscribe(stream, "news")


# The end of the server


@pytest.mark.parametrize(("drain_seconds", "code"), [(0.0, 4100), (0.05, 4200)])
def test_the_end_tells_every_receive_and_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch, drain_seconds: float, code: int
) -> None:
    # Longer than the test may take.
    monkeypatch.setattr(server_module, "REQUESTS_SECONDS", 600)
    monkeypatch.setattr(server_module, "FAREWELL_SECONDS", 600)
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT_SECONDS", 600)
    with nothing_left(), serving(fallback_session_timeout_seconds=600) as server:
        stream = FallbackClient(server, "1/stream").open()
        poll = FallbackClient(server, "1/poll")
        poll.open("xhr").read_end()
        waiting = poll.receive("xhr")
        FallbackClient(server, "1/away").open("xhr").read_end()
        lost = FallbackClient(server, "1/lost").open()
        lost.peer.reset()
        server.settle()
        server.background.stop(drain_seconds)
        for receive in (stream, waiting):
            assert receive.read_event("pusher:error")["code"] == code
            assert receive.read_close()[0] == code
            assert receive.peer.read_rest() == b""


def test_a_draining_server_keeps_nobody_and_takes_no_new_session() -> None:
    """A client that is sent away would come straight back to it on a kept connection."""
    with nothing_left(), serving(fallback_session_timeout_seconds=600) as server:
        first = FallbackClient(server, "1/first")
        first.open("xhr").read_end()
        waiting = first.receive("xhr")
        for name in ("1/second", "1/third"):
            FallbackClient(server, name).open()
        idle = server.connect()
        idle.send(FallbackClient(server, "1/kept").ask("xhr"))
        kept = Receive(idle, "xhr")
        FallbackClient(server, "1/kept").established(kept)
        kept.read_end()
        stopping = threading.Thread(target=server.background.stop, args=(1.0,))
        stopping.start()
        assert waiting.read_event("pusher:error")["code"] == 4200
        assert waiting.read_close()[0] == 4200
        assert waiting.headers["connection"] == "close"
        assert waiting.peer.read_rest() == b""
        idle.send(FallbackClient(server, "2/new").ask("xhr"))
        newcomer = Receive(idle, "xhr")
        assert newcomer.read_line() == "o"
        assert newcomer.read_close()[0] == 4200
        stopping.join()


def test_a_stream_that_is_not_read_keeps_no_end_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUESTS_SECONDS", 0.2)
    monkeypatch.setattr(server_module, "FAREWELL_SECONDS", 0.2)
    with nothing_left(), serving() as server:
        client = FallbackClient(server)
        stream = client.open(receive_buffer_bytes=4096)
        client.subscribe(stream, "news")
        while not server.look(full):
            server.ask(trigger("news", "event", "x" * 9_000))
        server.background.stop()
        stream.peer.wait_for_end()


def full(running: Server) -> bool:
    """Whether the kernel takes no more for some client."""
    return any(client.paused for client in running.hub.connections.values())
