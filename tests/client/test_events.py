"""Frames of services that differ in small things."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_client.events import (
    BadFrame,
    Established,
    Event,
    ServerError,
    client_event,
    decode,
    established,
    public_name,
    server_error,
    subscribe,
)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ('{"event":"a","channel":"c","data":"{}"}', Event("a", "c", "{}")),
        ('{"event":"a","channel":"c","data":"{}","user_id":"u"}', Event("a", "c", "{}", "u")),
        ('{"event":"pusher:pong","data":"{}"}', Event("pusher:pong", "", "{}")),
        # Some services leave data out, send it as an object, or write null for "none".
        ('{"event":"a","channel":"c"}', Event("a", "c", "")),
        ('{"event":"a","channel":"c","data":{"b":[1]}}', Event("a", "c", '{"b":[1]}')),
        ('{"event":"a","channel":null,"data":null,"user_id":null}', Event("a", "", "")),
        ('{"event":"a","channel":"c","data":"","user_id":10}', Event("a", "c", "", "10")),
    ],
)
def test_a_frame_becomes_an_event(text: str, event: Event) -> None:
    assert decode(text) == event
    assert decode(text.encode()) == event


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "expected a frame of JSON"),
        ("[]", "got an array"),
        ("{}", "expected a JSON object with an event"),
        ('{"event":1}', "expected a JSON object with an event"),
        ('{"event":"a","channel":1}', "expected channel to be a string, got a number"),
        (b'{"event":"\xff"}', "expected a frame of JSON"),
    ],
)
def test_a_bad_frame_says_what_was_expected(text: bytes | str, reason: str) -> None:
    with pytest.raises(BadFrame, match=reason):
        decode(text)


@given(st.one_of(st.binary(), st.text()))
def test_no_garbage_yields_anything_but_an_event_or_a_bad_frame(text: bytes | str) -> None:
    try:
        event = decode(text)
    except BadFrame:
        return
    server_error(event)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_frame = st.fixed_dictionaries(
    {},
    optional={
        name: _json | st.text() for name in ("event", "channel", "data", "user_id", "unknown")
    },
)


@given(_frame)
def test_no_json_yields_anything_but_an_event_or_a_bad_frame(frame: object) -> None:
    try:
        event = decode(orjson.dumps(frame))
        server_error(event)
        established(event)
    except BadFrame:
        pass


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"socket_id": "1.2", "activity_timeout": 120}, Established("1.2", 120)),
        ({"socket_id": "1.2", "activity_timeout": 0.5}, Established("1.2", 0.5)),
        ({"socket_id": "1.2"}, Established("1.2", None)),
        ({"socket_id": "1.2", "activity_timeout": 0}, Established("1.2", None)),
        ({"socket_id": "1.2", "activity_timeout": True}, Established("1.2", None)),
    ],
)
def test_the_first_frame(data: object, expected: Established) -> None:
    assert established(Event("e", "", orjson.dumps(data).decode())) == expected


@pytest.mark.parametrize("data", ["", "[]", "{}", '{"socket_id":1}', '{"socket_id":""}'])
def test_a_first_frame_without_a_socket_id_is_bad(data: str) -> None:
    with pytest.raises(BadFrame, match="socket_id"):
        established(Event("pusher:connection_established", "", data))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"code": 4001, "message": "m"}, ServerError(4001, "m")),
        ({"code": None, "message": "m"}, ServerError(None, "m")),
        # Reverb: the object as a string.
        ('{"code":4009,"message":"m"}', ServerError(4009, "m")),
        ({"code": "4001", "message": "m"}, ServerError(None, "m")),
        ("only text", ServerError(None, "only text")),
        ({"unknown": 1}, ServerError(None, '{"unknown":1}')),
    ],
)
def test_an_error_is_read_in_every_form(data: object, expected: ServerError) -> None:
    assert server_error(decode(orjson.dumps({"event": "pusher:error", "data": data}))) == expected


def test_internal_names_become_the_ones_applications_bind_to() -> None:
    assert public_name("pusher_internal:member_added") == "pusher:member_added"
    assert public_name("pusher:cache_miss") == "pusher:cache_miss"
    assert public_name("mine") == "mine"


def test_what_is_sent_is_what_pusher_js_sends() -> None:
    assert orjson.loads(subscribe("c", "", None)) == {
        "event": "pusher:subscribe",
        "data": {"auth": "", "channel": "c"},
    }
    assert orjson.loads(subscribe("presence-c", "k:s", '{"user_id":"u"}'))["data"] == {
        "auth": "k:s",
        "channel": "presence-c",
        "channel_data": '{"user_id":"u"}',
    }
    assert orjson.loads(client_event("client-x", "private-c", {"a": 1}))["data"] == {"a": 1}
    assert orjson.loads(client_event("client-x", "private-c", "text"))["data"] == "text"
