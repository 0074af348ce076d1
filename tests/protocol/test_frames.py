"""Frames against the parser of ``websockets`` and against a masking written here anew."""

from __future__ import annotations

import struct
from itertools import cycle

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from callboard_protocol.frames import (
    Cut,
    close_frame,
    cut_text_frame,
    frame_end,
    ping_frame,
    text_frame,
)

LIMIT = 131_072
#: On both sides of each of the three forms of a length.
LENGTHS = [0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 100_000]
MASKS = st.binary(min_size=4, max_size=4)


def parse(data: bytes, *, mask: bool = False) -> Frame:
    """Return the one frame that ``data`` is, as ``websockets`` reads it."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=mask)
    try:
        while True:
            next(parsing)
    except StopIteration as stop:
        frame = stop.value
    assert isinstance(frame, Frame)
    try:
        next(reader.at_eof())
    except StopIteration as stop:
        assert stop.value, "bytes are left behind the frame"
    return frame


def head(first: int, length: int, masked: int = 0x80) -> bytes:
    if length < 126:
        return struct.pack("!BB", first, masked | length)
    if length < 65_536:
        return struct.pack("!BBH", first, masked | 126, length)
    return struct.pack("!BBQ", first, masked | 127, length)


def masked_frame(payload: bytes, mask: bytes, first: int = 0x81) -> bytes:
    """Return a client's frame, masked byte by byte as RFC 6455, 5.3 says."""
    body = bytes(byte ^ key for byte, key in zip(payload, cycle(mask), strict=False))
    return head(first, len(payload)) + mask + body


# Out


@pytest.mark.parametrize("length", LENGTHS)
def test_a_text_frame_of_each_form_of_length(length: int) -> None:
    frame = parse(text_frame(b"x" * length))
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, b"x" * length)


@given(st.binary(max_size=300))
def test_a_text_frame_is_what_the_library_reads(payload: bytes) -> None:
    assert parse(text_frame(payload)) == Frame(Opcode.TEXT, payload)


@given(st.binary(max_size=125))
def test_a_ping_frame_is_what_the_library_reads(payload: bytes) -> None:
    assert parse(ping_frame(payload)) == Frame(Opcode.PING, payload)


@given(code=st.integers(4000, 4999), reason=st.text(max_size=200))
@example(code=4100, reason="ü" * 100)
@example(code=4100, reason="x" * 122 + "ü")
def test_a_close_frame_says_as_much_of_its_reason_as_fits(code: int, reason: str) -> None:
    close = Close.parse(bytes(parse(close_frame(code, reason)).data))
    assert close.code == code
    assert reason.startswith(close.reason)
    assert close.reason == reason or len(close.reason.encode()) > 123 - 4


# In


@pytest.mark.parametrize("length", LENGTHS)
def test_a_masked_text_frame_of_each_form_of_length(length: int) -> None:
    payload = bytes(range(256)) * (length // 256 + 1)
    data = masked_frame(payload[:length], b"\x01\x80\x00\xff")
    assert cut_text_frame(data, 0, LIMIT) == (payload[:length], len(data))
    assert frame_end(data) == len(data)


@given(
    payload=st.binary(max_size=300), mask=MASKS, before=st.binary(max_size=9), behind=st.binary()
)
@example(payload=b"", mask=b"\0\0\0\0", before=b"", behind=b"")
def test_a_masked_text_frame_is_cut_out_of_what_surrounds_it(
    payload: bytes, mask: bytes, before: bytes, behind: bytes
) -> None:
    frame = masked_frame(payload, mask)
    expected = (payload, len(before) + len(frame))
    assert cut_text_frame(before + frame + behind, len(before), LIMIT) == expected
    assert cut_text_frame(bytearray(before + frame + behind), len(before), LIMIT) == expected
    assert frame_end(before + frame + behind, len(before)) == expected[1]
    assert bytes(parse(frame, mask=True).data) == payload


@pytest.mark.parametrize("length", [0, 1, 125, 126, 300, 65_535, 65_536])
def test_a_frame_cut_off_anywhere_in_its_head_or_body_is_incomplete(length: int) -> None:
    data = masked_frame(b"x" * length, b"mask")
    edges = {*range(min(30, len(data))), *range(max(0, len(data) - 30), len(data))}
    for end in edges:
        assert cut_text_frame(data[:end], 0, LIMIT) is Cut.INCOMPLETE
        found = frame_end(data[:end])
        assert found in (None, len(data))


@given(
    payload=st.binary(max_size=200),
    mask=MASKS,
    first=st.integers(0, 255),
    masked=st.booleans(),
    cut=st.integers(0, 220),
)
def test_every_beginning_of_every_frame_is_text_incomplete_or_other(
    payload: bytes, mask: bytes, first: int, masked: bool, cut: int
) -> None:
    whole = masked_frame(payload, mask, first) if masked else head(first, len(payload), 0) + payload
    result = cut_text_frame(whole[:cut], 0, LIMIT)
    if first == 0x81 and masked:
        whole_came = cut >= len(whole)
        assert result == ((payload, len(whole)) if whole_came else Cut.INCOMPLETE)
    else:
        assert result is (Cut.OTHER if cut >= 2 else Cut.INCOMPLETE)


@given(data=st.binary(max_size=40), start=st.integers(0, 40))
def test_any_bytes_are_text_incomplete_or_other(data: bytes, start: int) -> None:
    assume(start <= len(data))
    result = cut_text_frame(data, start, LIMIT)
    if isinstance(result, tuple):
        payload, end = result
        assert start + 6 <= end <= len(data)
        assert len(payload) <= end - start - 6
        assert frame_end(data, start) == end
    else:
        assert isinstance(result, Cut)
    found = frame_end(data, start)
    assert found is None or found >= start + 2


@pytest.mark.parametrize(
    "first",
    [0x01, 0x00, 0x80, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0xF1, 0x83],
    ids=[
        "first fragment",
        "fragment",
        "last fragment",
        "binary",
        "close",
        "ping",
        "pong",
        "compressed",
        "all reserved bits",
        "unknown opcode",
    ],
)
def test_what_is_not_a_whole_text_frame_is_the_librarys(first: int) -> None:
    assert cut_text_frame(masked_frame(b"abc", b"mask", first), 0, LIMIT) is Cut.OTHER


def test_an_unmasked_frame_is_the_librarys_to_refuse() -> None:
    assert cut_text_frame(text_frame(b"abc"), 0, LIMIT) is Cut.OTHER


@pytest.mark.parametrize("length", [10, 200, 70_000])
def test_a_frame_over_the_limit_is_the_librarys_and_is_not_waited_for(length: int) -> None:
    data = masked_frame(b"x" * length, b"mask")
    assert cut_text_frame(data, 0, length) == (b"x" * length, len(data))
    assert cut_text_frame(data, 0, length - 1) is Cut.OTHER
    assert cut_text_frame(data[:14], 0, length - 1) is Cut.OTHER


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40])
def test_an_absurd_length_is_refused_and_not_reserved(length: int) -> None:
    data = b"\x81\xff" + length.to_bytes(8, "big") + b"mask"
    assert cut_text_frame(data, 0, LIMIT) is Cut.OTHER
    assert frame_end(data) == 14 + length


def test_a_length_in_a_longer_form_than_it_needs_is_read_or_left_but_never_misread() -> None:
    """RFC 6455, 5.2 wants the shortest form; ``websockets`` reads the others too."""
    mask, body = b"\0\0\0\0", b"abc"
    medium = b"\x81\xfe" + (3).to_bytes(2, "big") + mask + body
    long = b"\x81\xff" + (3).to_bytes(8, "big") + mask + body
    assert cut_text_frame(medium, 0, LIMIT) in ((body, len(medium)), Cut.OTHER)
    assert cut_text_frame(long, 0, LIMIT) is Cut.OTHER
