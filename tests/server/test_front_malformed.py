"""What is not HTTP is answered with 400 and a close, behind the answers that are due."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.gate import Gate
from support.serving import Serving, serving
from support.sockets import request

PLAIN = request("GET", "/apps/none/channels")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.fixture
def server(gate: Gate) -> Iterator[Serving]:
    with serving() as running:
        yield running


MALFORMED = {
    "no method": b"\x00\x01\x02\x03\r\n\r\n",
    "unknown method": b"FETCH / HTTP/1.1\r\n\r\n",
    "unknown version": b"GET / HTTP/3.7\r\n\r\n",
    "another protocol": b"GET / SIP/2.0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "space before the colon": request("GET", "/", None, "Name : value"),
    "no colon": request("GET", "/", None, "Name"),
    "control character in a value": request("GET", "/", None, "Name: a\x00b"),
    "lone line feeds": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "length and chunks": request("POST", "/apps/none", b"1", "Transfer-Encoding: chunked"),
    "chunks and length": request("POST", "/apps/none", None, "Transfer-Encoding: chunked").replace(
        b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"
    ),
    "two lengths": request("POST", "/apps/none", b"1", "Content-Length: 2"),
    "negative length": request("POST", "/apps/none", None, "Content-Length: -1"),
    "length that is no number": request("POST", "/apps/none", None, "Content-Length: 1x"),
    "length that overflows": request("POST", "/apps/none", None, f"Content-Length: {'9' * 30}"),
    "unknown transfer encoding": request("POST", "/apps/none", None, "Transfer-Encoding: gzip"),
    "chunk size that is no number": request(
        "POST", "/apps/none", None, "Transfer-Encoding: chunked"
    )
    + b"zz\r\n",
    "length in a trailer": request("POST", "/apps/none", None, "Transfer-Encoding: chunked")
    + b"0\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("by_bytes", [False, True], ids=["whole", "in pieces"])
def test_a_malformed_request_is_400_and_the_end(
    server: Serving, data: bytes, by_bytes: bool
) -> None:
    peer = server.connect()
    if by_bytes:
        peer.send_by_bytes(data)
    else:
        peer.send(data)
    answer = peer.read_answer()
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert answer.body.startswith(b"Bad request: ")
    peer.half_close()
    assert peer.read_rest() == b""


def test_a_malformed_request_behind_a_good_one_is_answered_behind_it(server: Serving) -> None:
    peer = server.connect()
    peer.send(PLAIN + PLAIN + b"rubbish\r\n\r\n")
    assert [peer.read_answer().status for _ in range(3)] == [404, 404, 400]
    peer.half_close()
    assert peer.read_rest() == b""


def test_a_refused_body_behind_a_good_request_is_answered_behind_it(server: Serving) -> None:
    peer = server.connect()
    peer.send(PLAIN + b"POST /apps/none/x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
    assert [peer.read_answer().status for _ in range(2)] == [404, 413]


def test_a_refused_head_behind_a_good_request_is_answered_behind_it(server: Serving) -> None:
    peer = server.connect()
    peer.send(PLAIN + request("GET", "/apps/none", None, f"X-Padding: {'x' * 20_000}"))
    assert [peer.read_answer().status for _ in range(2)] == [404, 431]


def test_a_malformed_request_waits_for_an_answer_that_takes_time(
    server: Serving, gate: Gate
) -> None:
    peer = server.connect()
    peer.send(request("GET", "/apps/none/channels", None, "X-Wait: yes") + b"rubbish\r\n\r\n")
    assert peer.nothing_comes()
    gate.open()
    assert [peer.read_answer().status for _ in range(2)] == [404, 400]


def test_what_follows_connection_close_is_ignored(server: Serving) -> None:
    """RFC 9112, 9.6: it must not be taken for a request, nor take the answer away."""
    closing = request("GET", "/apps/none/channels", None, "Connection: close")
    with server.connect() as peer:
        peer.send(closing + PLAIN)
        answer = peer.read_answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert peer.read_rest() == b""


@pytest.mark.parametrize(
    "header", ["Host: another", "Content-Type: a/b\r\nContent-Type: a/c"], ids=["Host", "type"]
)
def test_what_only_the_pages_find_wrong_is_400_and_no_error_of_ours(
    server: Serving, header: str
) -> None:
    """Else anybody could fill the log with tracebacks; the server's fixture looks at it."""
    assert server.ask(request("GET", "/", None, header)).status in (200, 400)


def test_empty_lines_before_a_request_are_ignored(server: Serving) -> None:
    """RFC 9112, 2.2: some clients end a body with one that is not part of it."""
    peer = server.connect()
    peer.send(b"\r\n" + PLAIN + b"\r\n\r\n" + PLAIN)
    assert [peer.read_answer().status for _ in range(2)] == [404, 404]
