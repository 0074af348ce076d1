"""Whatever a client sends, whole frames and an end come back, and the others are served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callboard_protocol.frames import CLOSE, CONTINUATION, PING, PONG, TEXT
from support.serving import Serving, open_sockets, serving
from support.websocket import frame, text_frame

fuzzed = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
channels = st.sampled_from(["channel", "private-x", "presence-x", "client-x", "#x", "", "a b"])
messages = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from(
            ["pusher:subscribe", "pusher:unsubscribe", "pusher:ping", "pusher:signin", "client-x"]
        )
        | json_values,
        "channel": channels | json_values,
        "data": st.fixed_dictionaries(
            {},
            optional={
                "channel": channels | json_values,
                "auth": st.sampled_from(["", "app-key:", "app-key:abc", ":"]) | json_values,
                "channel_data": st.sampled_from(["", "{}", '{"user_id":1}']) | json_values,
            },
        )
        | json_values,
        "user_id": json_values,
    },
)
frames = st.one_of(
    st.builds(text_frame, messages),
    st.builds(text_frame, json_values.map(json.dumps)),
    st.builds(
        frame,
        st.sampled_from([TEXT, TEXT, CONTINUATION, PING, PONG, CLOSE]),
        st.binary(max_size=20),
        fin=st.booleans(),
    ),
    st.binary(max_size=20),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(max_message_bytes=2_000) as running:
        before = open_sockets()
        yield running
        running.eventually(lambda: not open_sockets() - before)
        assert running.look(lambda inside: len(inside.hub.connections)) == 0


@fuzzed
@given(sent=st.lists(frames, max_size=10), at_once=st.booleans())
def test_anything_in_frames_and_between(server: Serving, sent: list[bytes], at_once: bool) -> None:
    client = server.client()
    try:
        client.send(*([b"".join(sent)] if at_once else sent))
        client.half_close()
        while client.receive():
            pass
    except ConnectionError:
        pass
    data = bytes(client.buffer)
    client.close()
    start = 0
    while start < len(data):
        assert data[start] in (0x80 | TEXT, 0x80 | PONG, 0x80 | CLOSE), data[start:]
        length, head = data[start + 1], 2
        if length == 126:
            length, head = int.from_bytes(data[start + 2 : start + 4], "big"), 4
        start += head + length
    assert start == len(data), "not whole frames"


def test_another_client_is_served_as_ever(server: Serving) -> None:
    with server.client() as client:
        client.subscribe("channel")
        assert client.still_up()
