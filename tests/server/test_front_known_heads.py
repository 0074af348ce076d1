"""Requests with headers that were read before are taken as the parser would take them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard_server.front.known_heads import MAX_BLOCK_BYTES, MAX_BLOCKS, KnownHeads
from callboard_server.front.reader import RequestReader
from callboard_server.front.request import MAX_HEAD_BYTES, Request
from support.sockets import request

MAX_BODY_BYTES = 1_000
BODY = b'{"name":"event"}'


class Ignorant(KnownHeads):
    """Knows nothing, so that the parser reads everything."""

    def read(self, data: bytes) -> Request | None:
        return None


class Counting(KnownHeads):
    """Counts the requests that need no parser."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def read(self, data: bytes) -> Request | None:
        found = super().read(data)
        self.taken += found is not None
        return found


def post(target: str = "/apps/1/events?a=1", body: bytes = BODY, *headers: str) -> bytes:
    return request("POST", target, body, *headers)


def read(known: KnownHeads, *pieces: bytes) -> RequestReader:
    """Feed one connection."""
    reader = RequestReader(MAX_BODY_BYTES, known=known)
    for piece in pieces:
        reader.feed(piece)
    return reader


def test_a_request_like_one_before_is_taken_with_what_is_its_own() -> None:
    known = Counting()
    read(known, post())
    other = post("/apps/2/events?b=2", BODY[::-1])
    (taken,) = read(known, other).requests
    assert known.taken == 1
    assert (taken.target, taken.body) == (b"/apps/2/events?b=2", BODY[::-1])
    assert [taken] == list(read(Ignorant(), other).requests)


def test_a_kept_alive_connection_goes_on_with_known_requests_and_others() -> None:
    known = Counting()
    pieces = [post(), post(), request("GET", "/"), post(), post() + post(), post()]
    reader = read(known, *pieces)
    assert list(reader.requests) == list(read(Ignorant(), *pieces).requests)
    # What follows a read that was not one request is the parser's: it may be in the middle of one.
    assert known.taken == 1


@pytest.mark.parametrize(
    "different",
    [
        pytest.param(post("/x", BODY + b" "), id="another length"),
        pytest.param(post()[:-1], id="a body that is not whole"),
        pytest.param(post() + b"POST", id="something behind it"),
        pytest.param(post("/x", BODY, "X: y"), id="another header"),
        pytest.param(post().replace(b"HTTP/1.1", b"HTTP/1.0"), id="another version"),
        pytest.param(post().replace(b"POST", b"PUT"), id="another method"),
        pytest.param(post("http://localhost/apps/1/events"), id="a target with a host"),
        pytest.param(post("/apps/1/ev#ents"), id="a target with a fragment"),
        pytest.param(post("/" + "x" * MAX_HEAD_BYTES), id="too long a target"),
    ],
)
def test_what_differs_in_more_than_target_and_body_is_the_parsers(different: bytes) -> None:
    known = Counting()
    read(known, post())
    read(known, different)
    assert known.taken == 0


@pytest.mark.parametrize(
    "header",
    [
        "Connection: close",
        "Transfer-Encoding: chunked",
        "X: " + "y" * MAX_BLOCK_BYTES,
    ],
)
def test_headers_with_more_to_them_are_read_each_time(header: str) -> None:
    known = Counting()
    for _ in range(3):
        read(known, post("/x", BODY, header))
    assert known.taken == 0


def test_a_body_that_only_another_target_may_have_is_refused_as_ever() -> None:
    known = KnownHeads()
    large = b"x" * (MAX_BODY_BYTES + 1)
    generous = RequestReader(MAX_BODY_BYTES, lambda target: 2 * MAX_BODY_BYTES, known)
    generous.feed(post("/large", large))
    assert len(generous.requests) == 1
    reader = read(known, post("/apps/1/events", large))
    assert not reader.requests
    assert reader.refusal is not None
    assert reader.refusal[1].status == 413


def test_the_oldest_make_room_for_new_ones() -> None:
    known = Counting()
    for number in range(MAX_BLOCKS + 1):
        read(known, post("/x", BODY, f"X: {number}"))
    read(known, post("/x", BODY, f"X: {MAX_BLOCKS}"))
    assert known.taken == 1
    read(known, post("/x", BODY, "X: 0"))
    assert known.taken == 1


SEEDS = [
    post(),
    post("/apps/1/events?a=2"),
    post("/apps/1/events", b""),
    post("/apps/1/events", BODY, "Connection: close"),
    post("/apps/1/events", BODY, "Connection: keep-alive"),
    post("/apps/1/events", BODY, "Expect: 100-continue"),
    post("/apps/1/events", BODY, "Connection: Upgrade", "Upgrade: h2c"),
    request("POST", "/x", None, "Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\n\r\n",
    request("POST", "/x", None),
    request("GET", "/"),
]
PLACES = st.floats(0, 1)


@st.composite
def reads(draw: st.DrawFn) -> bytes:
    """Draw what one read may have: mostly one request, at times more, less, or a changed one."""
    data = b"".join(draw(st.lists(st.sampled_from(SEEDS[:3] * 4 + SEEDS), min_size=1, max_size=2)))
    if draw(st.integers(0, 3)) == 0:
        at = int(draw(PLACES) * len(data))
        inserted = draw(st.sampled_from([b"", b"\r\n", b"\n", b" ", b":", b"\x00", b"\xff", b"0"]))
        data = data[:at] + inserted + data[at + draw(st.integers(0, 2)) :]
    if draw(st.integers(0, 3)) == 0:
        return data[: int(draw(PLACES) * len(data))]
    return data


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(reads(), min_size=1, max_size=5), min_size=1, max_size=4))
def test_whatever_is_read_is_what_the_parser_alone_would_have_read(
    connections: list[list[bytes]],
) -> None:
    known = KnownHeads()
    for pieces in connections:
        knowing, ignorant = read(known, *pieces), read(Ignorant(), *pieces)
        assert list(knowing.requests) == list(ignorant.requests)
        assert knowing.refusal == ignorant.refusal
        assert knowing.upgrade == ignorant.upgrade
        assert (knowing.begun, knowing.arrived) == (ignorant.begun, ignorant.arrived)
