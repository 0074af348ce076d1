"""The exact bytes that the SDKs' parsers need (the traps are listed in ``messages``)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_protocol import messages
from callboard_protocol.messages import Member


def test_subscription_succeeded_has_an_empty_object_as_a_string_to_the_letter() -> None:
    assert messages.subscription_succeeded("my-channel") == (
        b'{"event":"pusher_internal:subscription_succeeded","channel":"my-channel","data":"{}"}'
    )


def test_connection_established() -> None:
    assert messages.connection_established("1.2", 120) == (
        b'{"event":"pusher:connection_established",'
        b'"data":"{\\"socket_id\\":\\"1.2\\",\\"activity_timeout\\":120}"}'
    )


def test_an_error_has_an_object_as_data_and_null_only_as_its_code() -> None:
    assert messages.error("no") == (b'{"event":"pusher:error","data":{"code":null,"message":"no"}}')
    assert messages.error("no", 4001) == (
        b'{"event":"pusher:error","data":{"code":4001,"message":"no"}}'
    )


def test_ping_and_pong_carry_an_empty_object_as_a_string() -> None:
    assert messages.PING == b'{"event":"pusher:ping","data":"{}"}'
    assert messages.PONG == b'{"event":"pusher:pong","data":"{}"}'


def test_presence_succeeded_with_and_without_info() -> None:
    assert messages.presence_succeeded("presence-a", {"u1": b'{"name":"Ann"}', "u2": None}) == (
        b'{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":'
        b'"{\\"presence\\":{\\"ids\\":[\\"u1\\",\\"u2\\"],'
        b'\\"hash\\":{\\"u1\\":{\\"name\\":\\"Ann\\"},\\"u2\\":null},'
        b'\\"count\\":2}}"}'
    )


def test_member_added_leaves_out_info_that_was_not_given() -> None:
    assert messages.member_added("presence-a", Member("u1")) == (
        b'{"event":"pusher_internal:member_added","channel":"presence-a",'
        b'"data":"{\\"user_id\\":\\"u1\\"}"}'
    )
    assert messages.member_added("presence-a", Member("u1", b"[1]")) == (
        b'{"event":"pusher_internal:member_added","channel":"presence-a",'
        b'"data":"{\\"user_id\\":\\"u1\\",\\"user_info\\":[1]}"}'
    )


def test_member_removed() -> None:
    assert messages.member_removed("presence-a", "u1") == (
        b'{"event":"pusher_internal:member_removed","channel":"presence-a",'
        b'"data":"{\\"user_id\\":\\"u1\\"}"}'
    )


def test_a_channel_event_has_a_user_id_only_when_there_is_one() -> None:
    assert messages.channel_event("e", "c", '{"a":1}') == (
        b'{"event":"e","channel":"c","data":"{\\"a\\":1}"}'
    )
    assert messages.channel_event("client-e", "presence-c", "d", "u") == (
        b'{"event":"client-e","channel":"presence-c","data":"d","user_id":"u"}'
    )


FRAMES = [
    messages.PING,
    messages.PONG,
    messages.connection_established("1.2", 120),
    messages.error("no"),
    messages.error("no", 4200),
    messages.subscription_succeeded("c"),
    messages.presence_succeeded("presence-a", {"u": None}),
    messages.member_added("presence-a", Member("u")),
    messages.member_removed("presence-a", "u"),
    messages.channel_event("e", "c", ""),
]


@pytest.mark.parametrize("frame", FRAMES)
def test_data_is_a_string_in_all_but_errors_and_no_key_is_null(frame: bytes) -> None:
    message = json.loads(frame)
    is_error = message["event"] == "pusher:error"
    assert isinstance(message["data"], dict if is_error else str)
    assert None not in message.values()
    assert set(message) <= {"event", "channel", "data", "user_id"}


@pytest.mark.parametrize("frame", FRAMES)
def test_frames_about_the_connection_name_no_channel(frame: bytes) -> None:
    message = json.loads(frame)
    if message["event"].startswith("pusher:"):
        assert "channel" not in message
    else:
        assert isinstance(message["channel"], str)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3)
    ),
    max_leaves=5,
)


@given(event=st.text(), channel=st.text(), data=st.text(), user_id=st.none() | st.text())
def test_any_text_arrives_as_it_was_sent(
    event: str, channel: str, data: str, user_id: str | None
) -> None:
    message = json.loads(messages.channel_event(event, channel, data, user_id))
    expected = {"event": event, "channel": channel, "data": data}
    if user_id is not None:
        expected["user_id"] = user_id
    assert message == expected


@given(st.dictionaries(st.text(max_size=5), st.none() | JSON_VALUES, max_size=5))
def test_a_roster_lists_everyone_once_in_each_of_its_three_forms(members: dict[str, Any]) -> None:
    infos = {
        user: None if info is None else json.dumps(info).encode() for user, info in members.items()
    }
    message = json.loads(messages.presence_succeeded("presence-a", infos))
    presence = json.loads(message["data"])["presence"]
    assert presence == {"ids": list(members), "hash": members, "count": len(members)}
