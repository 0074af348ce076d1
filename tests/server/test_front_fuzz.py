"""Whatever bytes arrive, nothing but HTTP responses and an end comes out, and it goes on."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from callboard_protocol.frames import BINARY, CONTINUATION, PING
from callboard_server.front.reader import RequestReader
from support.serving import Serving, open_sockets, serving
from support.sockets import request, signed, trigger
from support.websocket import fragments, frame, text_frame, upgrade

fuzzed = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

SUBSCRIBE = text_frame({"event": "pusher:subscribe", "data": {"channel": "channel"}})
CHUNKED = request("POST", "/apps/none/x", None, "Transfer-Encoding: chunked")
SEEDS = [
    request("GET", "/"),
    request("GET", "/ready", None, "Connection: close"),
    request("GET", signed("GET", "/apps/app-id/channels")),
    request("POST", "/", b"body"),
    request("GET", "http://localhost/apps/none/channels"),
    request("GET", "/apps/none", None, "Connection: Upgrade", "Upgrade: h2c"),
    request("POST", "/apps/none", b"body", "Connection: Upgrade", "Upgrade: h2c"),
    request("POST", "/apps/none", b"body", "Expect: 100-continue"),
    trigger("channel", "event", "data"),
    CHUNKED + b"5\r\nhello\r\n0\r\nTrailer: value\r\n\r\n",
    upgrade() + SUBSCRIBE + frame(PING, b"payload") + frame(BINARY, b"\x00"),
    upgrade("/app/unknown") + SUBSCRIBE,
    upgrade() + b"".join(fragments(b'{"event":', b'"pusher:ping"}')) + frame(CONTINUATION),
    upgrade() + text_frame(json.dumps({"event": "client-x", "channel": "private-x"})),
]
#: Answered for as long as the client stays.
LONG = [
    request("POST", "/pusher/app/app-key/1/a/xhr_streaming?protocol=7", b""),
    request("POST", "/pusher/app/app-key/1/a/xhr", b""),
    request("POST", "/pusher/app/app-key/1/a/xhr_send", b'["{\\"event\\":\\"pusher:ping\\"}"]'),
    request("OPTIONS", "/pusher/app/app-key/1/a/xhr", None, "Origin: http://localhost"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(max_request_body_bytes=5_000, max_message_bytes=5_000) as running:
        before = open_sockets()
        yield running
        running.eventually(lambda: not open_sockets() - before)
        # aiohttp logs a malformed request as its error.
        running.errors[:] = [error for error in running.errors if error.name != "aiohttp.server"]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw one to three requests, with some of their bytes changed."""
    data = b"".join(draw(st.lists(st.sampled_from(SEEDS + LONG), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        inserted = draw(
            st.one_of(
                st.binary(max_size=4),
                st.just(data[start:end] * 2),
                st.sampled_from([b"\r\n", b"\n", b":", b" ", b"\x00", b"\xff", b"99999999999"]),
            )
        )
        data = data[:start] + inserted + data[end:]
    return data


@st.composite
def pieces(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> list[bytes]:
    """Draw data, whole or cut at random places."""
    whole = draw(data)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def exchange(server: Serving, parts: list[bytes]) -> None:
    """Send the parts, read to the end and check that it was HTTP."""
    with server.connect() as peer:
        try:
            peer.send(*parts)
            peer.half_close()
            while peer.receive():
                pass
        except ConnectionError:
            pass
        data = bytes(peer.buffer)
    assert not data or data.startswith((b"HTTP/1.1 ", b"HTTP/1.0 400 ")), data[:200]


@st.composite
def valid(draw: st.DrawFn) -> bytes:
    """Draw a request to the app N, which does not exist, so that the answer names it."""
    # No more of a head than its line ends, so that requests can be counted.
    body = draw(st.text("\r\n \0xyz", max_size=30)).encode()
    headers = draw(
        st.lists(
            st.sampled_from(
                [
                    "Connection: keep-alive",
                    "Connection: Upgrade\r\nUpgrade: h2c",
                    "Content-Type: application/json",
                    f"X-Padding: {'x' * 100}",
                ]
            ),
            unique=True,
            max_size=3,
        )
    )
    kind = draw(st.sampled_from(["GET", "POST", "chunked"]))
    if kind == "GET":
        return request("GET", "/apps/N/channels", None, *headers)
    if kind == "POST":
        return request("POST", "http://localhost/apps/N/events?x=y", body, *headers)
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    head = request("PUT", "/apps/N", None, *headers, "Transfer-Encoding: chunked")
    trailer = draw(
        st.sampled_from([b"", b"Host: y\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n"])
    )
    return head + chunk + b"0\r\n" + trailer + b"\r\n"


@st.composite
def numbered(draw: st.DrawFn) -> bytes:
    requests = draw(st.lists(valid(), min_size=1, max_size=8))
    return b"".join(
        asked.replace(b"/apps/N", b"/apps/%d" % number, 1) for number, asked in enumerate(requests)
    )


@fuzzed
@given(pieces(numbered()))
def test_valid_requests_in_any_pieces_are_answered_in_order(
    server: Serving, parts: list[bytes]
) -> None:
    count = b"".join(parts).count(b"Host: localhost")
    with server.connect() as peer:
        peer.send(*parts)
        answers = [peer.read_answer() for _ in range(count)]
        assert [answer.body for answer in answers] == [
            b"Unknown app_id: '%d'\n" % number for number in range(count)
        ]
        assert not peer.buffer


names = st.text(string.ascii_letters + "-", min_size=1, max_size=8)
values = st.text(string.ascii_letters + " ,:", max_size=8)
fields = st.lists(st.tuples(names, values), max_size=4)


@st.composite
def with_trailers(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    """Draw a chunked request with trailers, and the names of its headers."""
    headers = [("H-" + name, value) for name, value in draw(fields)]
    trailers = [("T-" + name, value) for name, value in draw(fields)]
    trailers += draw(st.lists(st.just(("X-Forwarded-Proto", "https")), max_size=1))
    head = request("POST", "/a", None, "Transfer-Encoding: chunked", *_lines(headers))
    chunks = b"".join(b"1%s\r\nx\r\n" % extension for extension in draw(extensions))
    end = "".join(f"{line}\r\n" for line in _lines(trailers)).encode()
    names = ["Host", "Transfer-Encoding", *(name for name, _ in headers)]
    return head + chunks + b"0\r\n" + end + b"\r\n", names


extensions = st.lists(st.sampled_from([b"", b";name=value"]), max_size=3)


def _lines(fields: list[tuple[str, str]]) -> list[str]:
    return [f"{name}: {value}" for name, value in fields]


@fuzzed
@given(st.data())
def test_no_trailer_becomes_a_header_of_its_request_or_the_next(data: st.DataObject) -> None:
    drawn = data.draw(st.lists(with_trailers(), min_size=1, max_size=4))
    reader = RequestReader(1_000)
    for part in data.draw(pieces(st.just(b"".join(sent for sent, _ in drawn)))):
        reader.feed(part)
    assert reader.refusal is None
    seen = [[name.decode() for name, _ in request.headers] for request in reader.requests]
    assert seen == [names for _, names in drawn]


@fuzzed
@given(pieces(st.binary(max_size=200)))
def test_arbitrary_bytes(server: Serving, parts: list[bytes]) -> None:
    exchange(server, parts)


@fuzzed
@given(pieces(mutated()))
@example([b"GET / HTTP/1.1\r\nHost: [\r\n\r\n"])
@example([b"GET http:// HTTP/1.1\r\n\r\n"])
@example([b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"])
@example([b"GET //\r\n\r\n"])
@example([b"GET /\xff HTTP/1.1\r\nHost: \xff\r\n\xff: \xff\r\n\r\n"])
def test_changed_requests(server: Serving, parts: list[bytes]) -> None:
    exchange(server, parts)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_server_still_serves(server: Serving, seed: bytes) -> None:
    """After all of the above: each request unchanged."""
    with server.connect() as peer:
        peer.send(seed)
        assert peer.read_answer().status in (101, 200, 404, 405)
