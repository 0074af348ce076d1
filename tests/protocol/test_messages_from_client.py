"""What a client may say: what is understood, and how a mistake is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_protocol import messages
from callboard_protocol.messages import BadMessage, ClientMessage, Member, SubscribeRequest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"event":"pusher:ping"}', ClientMessage("pusher:ping", None, None)),
        ('{"event":"pusher:ping","data":""}', ClientMessage("pusher:ping", None, "")),
        ('{"event":"pusher:ping","data":null}', ClientMessage("pusher:ping", None, None)),
        ('{"event":"e","channel":null,"data":{}}', ClientMessage("e", None, {})),
        ('{"event":"e","channel":"c","data":"d"}', ClientMessage("e", "c", "d")),
        ('{"event":"e","channel":"","data":[1]}', ClientMessage("e", "", [1])),
        (' {"more":1,"event":"ä"} ', ClientMessage("ä", None, None)),
        (b'{"event":"e"}', ClientMessage("e", None, None)),
    ],
)
def test_messages_that_are_understood(text: str | bytes, message: ClientMessage) -> None:
    assert messages.decode_client_message(text) == message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("hello", "Invalid JSON"),
        ("{'event':'e'}", "Invalid JSON"),
        ('{"event":"e"}{', "Invalid JSON"),
        ('{"event":"e","data":NaN}', "Invalid JSON"),
        ('{"event":"\\ud800"}', "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
        ('{"event":"e","data":' + "[" * 5000 + "]" * 5000 + "}", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        ("null", "Expected a JSON object with an event, got null"),
        ("1", "Expected a JSON object with an event, got a number"),
        ('"pusher:ping"', "Expected a JSON object with an event, got a string"),
        ('[{"event":"e"}]', "Expected a JSON object with an event, got an array"),
        ("{}", "Expected parameter event to be a string, got nothing"),
        ('{"event":null}', "Expected parameter event to be a string, got null"),
        ('{"event":1}', "Expected parameter event to be a string, got a number"),
        ('{"event":{}}', "Expected parameter event to be a string, got an object"),
        ('{"event":"e","channel":1}', "Expected parameter channel to be a string, got a number"),
        ('{"event":"e","channel":["c"]}', "Expected parameter channel to be a string, got an arr"),
    ],
)
def test_messages_that_are_not(text: str | bytes, reason: str) -> None:
    with pytest.raises(BadMessage) as refusal:
        messages.decode_client_message(text)
    assert str(refusal.value).startswith(reason)


@given(st.text() | st.binary())
def test_any_text_is_a_message_or_a_named_mistake(text: str | bytes) -> None:
    try:
        message = messages.decode_client_message(text)
    except BadMessage as mistake:
        assert str(mistake)
    else:
        assert isinstance(message.event, str)


def subscribe(data: object) -> ClientMessage:
    return ClientMessage("pusher:subscribe", None, data)


@pytest.mark.parametrize(
    ("data", "request_"),
    [
        ({"channel": "c"}, SubscribeRequest("c", None, None)),
        ({"channel": "c", "auth": ""}, SubscribeRequest("c", None, None)),
        ({"channel": "c", "auth": None, "channel_data": None}, SubscribeRequest("c", None, None)),
        ({"channel": "c", "auth": "k:s"}, SubscribeRequest("c", "k:s", None)),
        (
            {"channel": "c", "auth": "k:s", "channel_data": "{}"},
            SubscribeRequest("c", "k:s", "{}"),
        ),
        # Empty is not the same as missing: it was signed as a third part.
        ({"channel": "c", "channel_data": ""}, SubscribeRequest("c", None, "")),
        ({"channel": "c", "shared_secret": "x"}, SubscribeRequest("c", None, None)),
        ('{"channel":"c","auth":"k:s"}', SubscribeRequest("c", "k:s", None)),
        ({"channel": ""}, SubscribeRequest("", None, None)),
    ],
)
def test_subscribe(data: object, request_: SubscribeRequest) -> None:
    assert messages.parse_subscribe(subscribe(data)) == request_


@pytest.mark.parametrize("data", [None, "", "c", "[]", "{", 1, True, [], ["c"]])
def test_subscribe_and_unsubscribe_need_an_object(data: object) -> None:
    for parse in (messages.parse_subscribe, messages.parse_unsubscribe):
        with pytest.raises(BadMessage, match="Expected parameter data to be a hash"):
            parse(subscribe(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "Missing parameter: data.channel"),
        ({"channel": None}, "Expected parameter data.channel to be a string, got null"),
        ({"channel": 1}, "Expected parameter data.channel to be a string, got a number"),
        ({"channel": "c", "auth": 1}, "Expected parameter data.auth to be a string, got a number"),
        (
            {"channel": "c", "channel_data": {"user_id": "u"}},
            "Expected parameter data.channel_data to be a string, got an object",
        ),
    ],
)
def test_subscribe_names_the_part_that_is_wrong(data: object, reason: str) -> None:
    with pytest.raises(BadMessage) as refusal:
        messages.parse_subscribe(subscribe(data))
    assert str(refusal.value) == reason


@pytest.mark.parametrize("data", [{"channel": "c"}, '{"channel":"c"}'])
def test_unsubscribe(data: object) -> None:
    assert messages.parse_unsubscribe(subscribe(data)) == "c"


@pytest.mark.parametrize(
    ("channel_data", "member"),
    [
        ('{"user_id":"u"}', Member("u", None)),
        ('{"user_id":"u","user_info":null}', Member("u", None)),
        ('{"user_id": "u", "user_info": {"name": "Ann"}}', Member("u", b'{"name":"Ann"}')),
        ('{"user_id":"u","user_info":"Ann"}', Member("u", b'"Ann"')),
        ('{"user_id":"u","user_info":[]}', Member("u", b"[]")),
        ('{"user_id":"u","user_info":false}', Member("u", b"false")),
        ('{"user_id":"ü","user_info":"ß"}', Member("ü", '"ß"'.encode())),
        ('{"user_id":"u","more":1}', Member("u", None)),
        # The documentation signs a number.
        (
            '{"user_id":10,"user_info":{"name":"Mr. Pusher"}}',
            Member("10", b'{"name":"Mr. Pusher"}'),
        ),
        ('{"user_id":0}', Member("0", None)),
        ('{"user_id":-7}', Member("-7", None)),
        ('{"user_id":9007199254740993}', Member("9007199254740993", None)),
    ],
)
def test_members(channel_data: str, member: Member) -> None:
    assert messages.parse_member(channel_data) == member


@pytest.mark.parametrize(
    ("channel_data", "reason"),
    [
        ("", "Invalid channel_data: not JSON"),
        ("u", "Invalid channel_data: not JSON"),
        ('{"user_id":"\\ud800"}', "Invalid channel_data: not JSON"),
        ("null", "Invalid channel_data: expected an object, got null"),
        ('"u"', "Invalid channel_data: expected an object, got a string"),
        ("[]", "Invalid channel_data: expected an object, got an array"),
        ("{}", "Invalid channel_data: user_id must be a non-empty string, got nothing"),
        ('{"user_id":null}', "Invalid channel_data: user_id must be a non-empty string, got null"),
        ('{"user_id":""}', "Invalid channel_data: user_id must be a non-empty string, got an empt"),
        ('{"user_id":true}', "Invalid channel_data: user_id must be a non-empty string, got a boo"),
        (
            '{"user_id":1.5}',
            "Invalid channel_data: user_id must be a non-empty string, got a number",
        ),
        (
            '{"user_id":123456789012345678901234567890}',
            "Invalid channel_data: user_id must be a non-empty string, got a number that is no",
        ),
        ('{"user_id":["u"]}', "Invalid channel_data: user_id must be a non-empty string, got an a"),
        ('{"user_id":{}}', "Invalid channel_data: user_id must be a non-empty string, got an obje"),
        ('{"user_id":"u","user_info":' + "[" * 300 + "]" * 300 + "}", "Invalid channel_data: "),
    ],
)
def test_what_is_no_member(channel_data: str, reason: str) -> None:
    with pytest.raises(BadMessage) as refusal:
        messages.parse_member(channel_data)
    assert str(refusal.value).startswith(reason)


def test_a_user_id_has_128_characters_at_most() -> None:
    assert messages.parse_member(json.dumps({"user_id": "u" * 128})).user_id == "u" * 128
    with pytest.raises(BadMessage, match="129 characters, but at most 128"):
        messages.parse_member(json.dumps({"user_id": "u" * 129}))


@pytest.mark.parametrize("letter", ["x", "ü", "漢"])
def test_a_user_object_has_1024_bytes_at_most(letter: str) -> None:
    empty = len('{"user_id":"u","user_info":""}')
    count, rest = divmod(1024 - empty, len(letter.encode()))
    info = letter * count + "x" * rest
    exact = f'{{"user_id":"u","user_info":"{info}"}}'
    assert len(exact.encode()) == 1024
    assert messages.parse_member(exact).user_info == f'"{info}"'.encode()
    with pytest.raises(BadMessage, match="larger than the 1024 bytes"):
        messages.parse_member(f'{{"user_id":"u","user_info":"{info}x"}}')


@pytest.mark.parametrize(
    ("data", "relayed"),
    [
        ("text", "text"),
        ("", ""),
        ('{"a": 1}', '{"a": 1}'),
        ({"a": 1}, '{"a":1}'),
        ({}, "{}"),
        ([], "[]"),
        (0, "0"),
        (False, "false"),
        ({"ä": "ß"}, '{"ä":"ß"}'),
        (None, "{}"),
    ],
)
def test_client_event_data_is_relayed_as_a_string(data: Any, relayed: str) -> None:
    assert messages.client_event_data(data) == relayed


@pytest.mark.parametrize("depth", [300, 1000])
def test_data_nested_too_deeply_to_be_written_again_is_a_mistake(depth: int) -> None:
    text = '{"event":"client-e","data":' + "[" * depth + "]" * depth + "}"
    message = messages.decode_client_message(text)
    with pytest.raises(BadMessage, match="nested"):
        messages.client_event_data(message.data)
