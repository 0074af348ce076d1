"""What the front bounds: heads, bodies and clients that do not read, in bytes and in time."""

from __future__ import annotations

import select
import tracemalloc
from collections.abc import Iterator

import pytest

from callboard_server.front import http
from callboard_server.front.reader import RequestReader
from callboard_server.front.request import MAX_HEAD_BYTES, MAX_HEADERS
from support.gate import Gate
from support.serving import Serving, open_sockets, serving
from support.sockets import Peer, request
from support.websocket import upgrade

BODY_LIMIT = 20_000
HEAD_LIMIT = MAX_HEAD_BYTES
PLAIN = request("GET", "/apps/none/channels")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    Gate(monkeypatch)
    with serving(max_request_body_bytes=BODY_LIMIT) as running:
        yield running


def assert_refused(peer: Peer, status: int) -> None:
    """Read the refusal and the end of the connection behind it."""
    answer = peer.read_answer()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert answer.body.endswith(b"\n"), "a refusal explains itself"
    peer.half_close()
    assert peer.read_rest() == b""


# The head, in bytes


def test_a_head_within_the_limit_is_read(server: Serving) -> None:
    padding = "x" * (HEAD_LIMIT - 200)
    assert server.ask(request("GET", "/apps/none", None, f"X-Padding: {padding}")).status == 404
    assert server.ask(request("GET", f"/apps/none?{padding}")).status == 404
    assert server.ask(request("GET", "/", None, f"X-Padding: {padding}")).status == 200
    assert server.ask(request("GET", f"/?{padding}")).status == 200


@pytest.mark.parametrize(
    "head",
    [
        request("GET", "/apps/none", None, f"X-Padding: {'x' * HEAD_LIMIT}"),
        request("GET", f"/apps/none?{'x' * HEAD_LIMIT}"),
        request("GET", f"/{'x' * HEAD_LIMIT}"),
        request("GET", "/apps/none", None, *(f"X-{n}: {n}" for n in range(2_000))),
        request("GET", "/apps/none", None, *["a:"] * MAX_HEADERS),
        request("GET", "/", None, *["a:"] * MAX_HEADERS),
        upgrade("/app/app-key", *["a:"] * MAX_HEADERS),
        request("POST", "/apps/none", b"body", f"X-Padding: {'x' * HEAD_LIMIT}"),
    ],
    ids=[
        "one header",
        "target",
        "target of a page",
        "many headers",
        "one header too many",
        "one header too many for a page",
        "one header too many for an upgrade",
        "with a body",
    ],
)
def test_a_head_over_the_limit_is_431(server: Serving, head: bytes) -> None:
    peer = server.connect()
    peer.send(head)
    assert_refused(peer, 431)


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /apps/",
        b"GET /apps/none HTTP/1.1\r\nX-",
        b"GET /apps/none HTTP/1.1\r\nX-Endless: ",
        b"POST /apps/none HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;extension=",
        b"POST /apps/none HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Endless: ",
    ],
    ids=["empty lines", "target", "header name", "header value", "chunk extension", "trailer"],
)
def test_what_never_ends_is_431_once_it_is_too_long(server: Serving, beginning: bytes) -> None:
    peer = server.connect()
    peer.send(beginning)
    server.settle()
    for _ in range(2):
        peer.send((b"x" if beginning else b"\r\n") * HEAD_LIMIT)
        server.settle()
    assert_refused(peer, 431)


def test_what_is_too_long_is_not_kept(server: Serving) -> None:
    peer = server.connect()
    peer.send(b"GET /apps/none HTTP/1.1\r\nX-Endless: ", b"x" * 2 * HEAD_LIMIT)
    server.settle()
    tracemalloc.start()
    try:
        peer.send(b"x" * 8_000_000)
        server.settle()
        assert tracemalloc.get_traced_memory()[0] < 4_000_000
    finally:
        tracemalloc.stop()
    assert_refused(peer, 431)


def test_as_many_headers_as_the_limit_are_read(server: Serving) -> None:
    headers = ["a:"] * (MAX_HEADERS - 1)  # and Host
    assert server.ask(request("GET", "/apps/none", None, *headers)).status == 404
    assert server.ask(request("GET", "/", None, *headers)).status == 200
    chunked = request("POST", "/apps/none", None, *headers[1:], "Transfer-Encoding: chunked")
    assert server.ask(chunked + b"0\r\nTrailer: one more\r\n\r\n").status == 404


def test_short_headers_of_a_request_that_is_not_whole_hold_no_multiple_of_it(
    server: Serving,
) -> None:
    peers = [server.connect() for _ in range(20)]
    for peer in peers:
        peer.send(PLAIN[:-2])
    server.settle()
    sent = b"".join(b"%c%c:\r\n" % (97 + n // 26 % 26, 97 + n % 26) for n in range(2_600))
    tracemalloc.start()
    try:
        for peer in peers:
            peer.send(sent[:13_000])
        server.settle()
        assert tracemalloc.get_traced_memory()[0] < 20 * 13_000
    finally:
        tracemalloc.stop()


def test_endless_trailers_are_431(server: Serving) -> None:
    peer = server.connect()
    peer.send(b"POST /apps/none HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    peer.send(b"".join(b"X-%d: value\r\n" % n for n in range(2_000)))
    assert_refused(peer, 431)


# Time


def test_a_head_that_is_never_finished_is_given_ten_seconds(server: Serving) -> None:
    peer = server.connect()
    peer.send(PLAIN[:20])
    server.skip(http.HEAD_SECONDS - 1)
    peer.send(PLAIN[20:-2])
    server.skip(2)
    answer = peer.read_answer()
    assert answer.status == 408, "another piece must not buy more time"
    assert peer.read_rest() == b""


def test_a_client_that_says_nothing_is_closed_after_ten_seconds(server: Serving) -> None:
    peer = server.connect()
    server.skip(http.HEAD_SECONDS + 1)
    peer.wait_for_end()
    assert not peer.buffer


def test_a_body_that_is_never_finished_is_given_thirty_seconds(server: Serving) -> None:
    peer = server.connect()
    whole = request("POST", "/apps/none/x", b"x" * 1_000)
    peer.send(whole[:-500])
    server.skip(http.BODY_SECONDS - 1)
    peer.send(whole[-500:-1])
    server.skip(2)
    assert peer.read_answer().status == 408
    assert peer.read_rest() == b""


def test_an_idle_connection_is_kept_for_its_time_since_the_last_request(server: Serving) -> None:
    peer = server.connect()
    for _ in range(3):
        peer.send(PLAIN)
        assert peer.read_answer().status == 404
        server.skip(http.KEEP_ALIVE_SECONDS - 1)
    server.skip(2)
    assert peer.read_rest() == b""


def test_a_second_request_gets_its_own_time(server: Serving) -> None:
    peer = server.connect()
    peer.send(PLAIN)
    peer.read_answer()
    server.skip(60)
    peer.send(PLAIN[:20])
    server.skip(http.HEAD_SECONDS - 1)
    peer.send(PLAIN[20:])
    assert peer.read_answer().status == 404
    peer.send(PLAIN[:20])
    server.skip(http.HEAD_SECONDS + 1)
    assert peer.read_answer().status == 408


# The body


def test_a_body_of_exactly_the_limit_is_read(server: Serving) -> None:
    body = b"x" * BODY_LIMIT
    assert server.ask(request("POST", "/apps/none/x", body)).status == 404
    chunked = request("POST", "/apps/none/x", None, "Transfer-Encoding: chunked")
    assert server.ask(chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)).status == 404


@pytest.mark.parametrize("path", ["/apps/app-id/events", "/"])
def test_a_client_that_keeps_sending_a_refused_body_sees_413(server: Serving, path: str) -> None:
    peer = server.connect()
    peer.send(request("POST", path, b"x" * 8_000_000))
    answer = peer.read_answer()
    assert answer.status == 413
    assert str(BODY_LIMIT).encode() in answer.body
    assert peer.read_rest() == b"", "a reset would have taken the answer with it"


def test_413_does_not_wait_for_the_body(server: Serving) -> None:
    peer = server.connect()
    peer.send(b"POST /apps/none/x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
    assert_refused(peer, 413)


def test_413_instead_of_100_continue(server: Serving) -> None:
    peer = server.connect()
    peer.send(
        b"POST /apps/none/x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
    )
    assert_refused(peer, 413)


def test_a_chunked_body_over_the_limit_is_413(server: Serving) -> None:
    peer = server.connect()
    peer.send(request("POST", "/apps/none/x", None, "Transfer-Encoding: chunked"))
    chunk = b"%x\r\n%s\r\n" % (1_000, b"x" * 1_000)
    peer.send(*(chunk for _ in range(1_000)))
    peer.send(b"0\r\n\r\n")
    answer = peer.read_answer()
    assert answer.status == 413
    assert peer.read_rest() == b""


def test_a_refused_client_that_stays_is_cut(server: Serving) -> None:
    peer = server.connect()
    peer.send(b"POST /apps/none/x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
    assert peer.read_answer().status == 413
    server.skip(http.LINGER_SECONDS + 1)
    peer.wait_for_end()


# Clients that do not read


def send_until_refused(peer: Peer, data: bytes, limit: int) -> int:
    """Send ``data`` over and over until nothing is taken for a while; return the bytes sent."""
    sent = 0
    peer.socket.setblocking(False)
    while sent < limit and select.select([], [peer.socket], [], 0.3)[1]:
        sent += peer.socket.send(data[sent % len(data) :])
    peer.socket.settimeout(5)
    return sent


def test_a_client_that_pipelines_and_never_reads_is_not_read_either(server: Serving) -> None:
    peer = server.connect(receive_buffer_bytes=4096)
    asked = request("GET", "/apps/any", None, "X-Size: 5000", f"X-Padding: {'x' * 5_000}")
    limit = 32_000_000
    sent = send_until_refused(peer, asked, limit)
    assert sent < limit, "the server goes on reading what it cannot answer"
    for _ in range(sent // len(asked)):
        assert peer.read_answer().body == b"x" * 5_000


@pytest.mark.parametrize("header", ["Connection: close", "Connection: keep-alive"])
def test_a_client_that_never_reads_its_answer_is_cut(server: Serving, header: str) -> None:
    before = open_sockets()
    peer = server.connect(receive_buffer_bytes=4096)
    peer.send(request("GET", "/apps/any", None, "X-Size: 30000000", header))
    server.eventually(lambda: len(open_sockets() - before) == 2)
    server.skip(http.KEEP_ALIVE_SECONDS + 1)
    server.skip(http.KEEP_ALIVE_SECONDS + 1)
    server.eventually(lambda: len(open_sockets() - before) == 1)


def test_a_client_that_vanishes_in_the_middle_leaves_nothing(server: Serving) -> None:
    before = open_sockets()
    for data in (b"", PLAIN[:9], PLAIN, request("GET", "/"), request("GET", "/apps/x", b"1")[:-1]):
        peer = Peer(server.port)
        peer.send(data)
        peer.reset()
    server.settle()
    server.eventually(lambda: not open_sockets() - before)


def test_many_small_chunks_cost_no_more_than_their_bytes() -> None:
    reader = RequestReader(max_body_bytes=1_000_000)
    reader.feed(b"POST /apps/1/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunks = b"2\r\nab\r\n" * 2_000
    tracemalloc.start()
    try:
        for _ in range(50):
            reader.feed(chunks)
        assert tracemalloc.get_traced_memory()[0] < 600_000
    finally:
        tracemalloc.stop()
    reader.feed(b"0\r\n\r\n")
    assert reader.requests.pop().body == b"ab" * 100_000
