from __future__ import annotations

import pytest

from callboard_bench.websocket import Unexpected, cut_frames, masked_pong, masked_text
from callboard_protocol.frames import (
    PING,
    TEXT,
    close_frame,
    cut_text_frame,
    ping_frame,
    text_frame,
)


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_every_frame_of_a_server_is_cut_off(length: int) -> None:
    payload = b"x" * length
    data = text_frame(payload) + ping_frame(b"?") + text_frame(b"last")

    assert cut_frames(data) == ([(TEXT, payload), (PING, b"?"), (TEXT, b"last")], b"")


@pytest.mark.parametrize("length", [3, 200, 70000])
def test_a_frame_that_is_not_whole_is_left(length: int) -> None:
    whole, frame = text_frame(b"whole"), text_frame(b"x" * length)

    for cut in {0, 1, 2, 3, 4, 9, 10, len(frame) - 1}:
        if cut < len(frame):
            assert cut_frames(whole + frame[:cut]) == ([(TEXT, b"whole")], frame[:cut])


@pytest.mark.parametrize(
    "frame",
    [masked_text(b"masked"), b"\x01\x02ab", b"\x82\x02ab", b"HTTP/1.1 400"],
    ids=["masked", "fragment", "binary", "not a frame"],
)
def test_what_a_server_must_not_send_is_an_error(frame: bytes) -> None:
    with pytest.raises(Unexpected, match="a frame that begins"):
        cut_frames(frame)


def test_a_close_frame_is_handed_on() -> None:
    frames, rest = cut_frames(close_frame(4100, "over capacity"))

    assert (frames[0][1][:2], rest) == ((4100).to_bytes(2, "big"), b"")


@pytest.mark.parametrize("length", [0, 1, 125, 126, 5000])
def test_what_a_client_sends_is_masked_as_servers_want_it(length: int) -> None:
    payload = bytes(range(256)) * 20
    frame = masked_text(payload[:length])

    assert cut_text_frame(frame, 0, 10_000) == (payload[:length], len(frame))
    assert masked_pong(b"?")[0] == 0x8A
