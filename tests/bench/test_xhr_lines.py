"""How responses of HTTP streaming and polling are read, wherever the network cuts them."""

from __future__ import annotations

import json

import pytest

from callboard_bench.answers import CHUNKED, UNTIL_CLOSED, cut_chunks, cut_head
from callboard_bench.clients.xhr_lines import cut_lines
from callboard_bench.websocket import Unexpected

CHUNKS = b"2\r\no\n\r\n5;x=1\r\nh\nh\nh\r\n1\r\n\n\r\n0\r\n\r\n"


@pytest.mark.parametrize("cut", range(len(CHUNKS)))
def test_a_body_in_chunks_is_joined_wherever_a_read_ends(cut: int) -> None:
    first = cut_chunks(CHUNKS[:cut])
    second = cut_chunks(first.rest + CHUNKS[cut:])

    assert first.body + second.body == b"o\nh\nh\nh\n"
    assert (first.whole, second.whole, second.rest) == (False, True, b"")


@pytest.mark.parametrize(
    ("header", "length"),
    [
        (b"Content-Length: 12\r\n", 12),
        (b"transfer-encoding: chunked\r\n", CHUNKED),
        (b"Connection: close\r\n", UNTIL_CLOSED),
    ],
)
def test_a_head_says_how_long_its_body_is(header: bytes, length: int) -> None:
    data = b"HTTP/1.1 200 OK\r\n" + header + b"\r\nbody"
    head = cut_head(data)

    assert head is not None
    assert (head.status, head.length, head.rest) == (200, length, b"body")
    assert all(cut_head(data[:end]) is None for end in range(data.index(b"body")))


def test_lines_are_messages_heartbeats_and_a_close() -> None:
    first, second = '{"event":"a","data":"ü\\n"}', '{"event":"b"}'
    body = f'o\na{json.dumps([first])}\nh\nm{json.dumps(second)}\nc[4200,"go"]\na['.encode()
    lines = cut_lines(body)

    assert lines.messages == (first.encode(), second.encode())
    assert (lines.heartbeats, lines.closed, lines.rest) == (1, "4200 go", b"a[")


def test_lines_of_types_that_do_not_exist_are_passed_over_as_pusher_js_does() -> None:
    lines = cut_lines(b"h" * 2048 + b"\n" + b"z[1]\n" + b'o{"hostname":"h2"}\n')

    assert (lines.messages, lines.heartbeats, lines.closed) == ((), 0, None)


@pytest.mark.parametrize(("text", "units"), [("abc", 3), ("äöü", 3), ("😀", 2)])
def test_length_is_counted_as_javascript_counts_it(text: str, units: int) -> None:
    assert cut_lines(f"z{text}\n".encode()).units == units + 2


@pytest.mark.parametrize("body", [b"a[1]\n", b"a{\n", b"m[]\n", b"c\n", b"c[1,2,3]\n"])
def test_a_line_that_is_not_understood_is_an_error(body: bytes) -> None:
    with pytest.raises(Unexpected, match="a line that begins"):
        cut_lines(body)


def test_what_is_no_http_is_an_error() -> None:
    with pytest.raises(Unexpected, match="an answer that begins"):
        cut_head(b"SSH-2.0\r\n\r\n")
    with pytest.raises(Unexpected, match="a chunk that begins"):
        cut_chunks(b"xyz\r\nabc\r\n")
