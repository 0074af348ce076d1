from __future__ import annotations

import json

import pytest

from callboard_bench.stamps import EVENT, read_stamp, smallest_message_bytes, stamped_data
from callboard_protocol.messages import channel_event


def test_a_message_has_the_size_asked_for_and_carries_number_and_time() -> None:
    data = stamped_data(42, 123_456_789, "bench", 220)
    message = channel_event(EVENT, "bench", data)

    assert len(message) == 220
    assert read_stamp(message) == (0, 42, 123_456_789)


def test_the_stamp_is_found_however_the_server_writes_its_json() -> None:
    data = stamped_data(7, 1, "bench", 220, stream=3)

    for message in (
        f'{{ "data": "{data}", "event": "load" }}',
        json.dumps({"channel": "bench", "data": json.dumps(data)}),
        json.dumps({"data": json.dumps({"text": data})}),
    ):
        assert read_stamp(message.encode()) == (3, 7, 1)


def test_other_messages_carry_no_stamp() -> None:
    assert read_stamp(b'{"event":"pusher:ping","data":"{}"}') is None
    assert read_stamp(b'{"event":"load","data":"bench:what else"}') is None


def test_a_message_too_small_for_its_stamp_is_refused() -> None:
    smallest = smallest_message_bytes("bench")

    assert read_stamp(stamped_data(1, 2, "bench", smallest).encode()) == (0, 1, 2)
    with pytest.raises(ValueError, match=f"needs {smallest} bytes .* not {smallest - 1}"):
        stamped_data(1, 2, "bench", smallest - 1)
