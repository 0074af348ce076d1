"""Bodies of the API: what is understood, and which field a refusal names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_protocol import rest
from callboard_protocol.rest import BadRequest, Trigger


@dataclass(frozen=True)
class Limits:
    max_event_payload_bytes: int = 10240
    max_event_name_length: int = 200
    max_channel_name_length: int = 164


LIMITS = Limits()
BOTH = frozenset(("user_count", "subscription_count"))
EVENT: dict[str, Any] = {"name": "e", "channel": "c", "data": "d"}
TOO_LARGE = (
    "The data content of this event exceeds the allowed maximum (10240 bytes). See "
    "http://pusher.com/docs/server_api_guide/server_publishing_events for more info"
)


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def parse(value: object) -> Trigger:
    return rest.parse_events(encode(value), LIMITS)


def refused(value: object) -> tuple[int, str]:
    """Return status and text of a refusal; bytes are sent as they are."""
    body = value if isinstance(value, bytes) else encode(value)
    with pytest.raises(BadRequest) as refusal:
        rest.parse_events(body, LIMITS)
    return refusal.value.status, str(refusal.value)


# POST events


@pytest.mark.parametrize(
    ("body", "trigger"),
    [
        (EVENT, Trigger("e", "d", ("c",), None, frozenset())),
        ({**EVENT, "data": ""}, Trigger("e", "", ("c",), None, frozenset())),
        (
            {"name": "e", "channels": ["a", "b"], "data": "d"},
            Trigger("e", "d", ("a", "b"), None, frozenset()),
        ),
        ({**EVENT, "channels": ["a"]}, Trigger("e", "d", ("a",), None, frozenset())),
        ({**EVENT, "channels": None}, Trigger("e", "d", ("c",), None, frozenset())),
        (
            {"name": "e", "channels": ["b", "a", "b"], "data": "d"},
            Trigger("e", "d", ("b", "a"), None, frozenset()),
        ),
        ({**EVENT, "socket_id": "1.2"}, Trigger("e", "d", ("c",), "1.2", frozenset())),
        ({**EVENT, "socket_id": None}, Trigger("e", "d", ("c",), None, frozenset())),
        ({**EVENT, "info": ""}, Trigger("e", "d", ("c",), None, frozenset())),
        (
            {**EVENT, "info": "user_count, subscription_count"},
            Trigger("e", "d", ("c",), None, BOTH),
        ),
        ({**EVENT, "more": {}}, Trigger("e", "d", ("c",), None, frozenset())),
        (
            {**EVENT, "channel": "#server-to-user-ann"},
            Trigger("e", "d", ("#server-to-user-ann",), None, frozenset()),
        ),
    ],
)
def test_events_that_are_understood(body: object, trigger: Trigger) -> None:
    assert parse(body) == trigger


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Expected a JSON object as the body, got an empty body"),
        (b"{", "Expected a JSON object as the body: "),
        (b"name=e&channel=c", "Expected a JSON object as the body: "),
        (b"\xff", "Expected a JSON object as the body: "),
        (b"[" * 100_000, "Expected a JSON object as the body: "),
        (None, "Expected a JSON object as the body, got null"),
        ([EVENT], "Expected a JSON object as the body, got an array"),
        ("e", "Expected a JSON object as the body, got a string"),
        ({"channel": "c", "data": "d"}, "Missing required parameter: name"),
        ({"name": "e", "data": "d"}, "Missing required parameter: channel"),
        ({"name": "e", "channel": "c"}, "Missing required parameter: data"),
        ({**EVENT, "data": None}, "Missing required parameter: data"),
        ({**EVENT, "name": 1}, "Expected name parameter to be a string"),
        ({**EVENT, "name": ""}, "Invalid event name: it is empty"),
        ({**EVENT, "name": "e" * 201}, "Invalid event name: 201 characters"),
        ({**EVENT, "data": {"a": 1}}, "Expected data parameter to be a string, got an object"),
        ({**EVENT, "data": 1}, "Expected data parameter to be a string, got a number"),
        ({**EVENT, "channel": ["c"]}, "Expected channel parameter to be a string, got an array"),
        ({**EVENT, "channel": ""}, "Invalid channel name: it is empty"),
        ({**EVENT, "channel": "a b"}, "Invalid channel name 'a b'"),
        ({**EVENT, "channel": "#users"}, "Invalid channel name '#users'"),
        ({**EVENT, "channel": "#server-to-user-a b"}, "Invalid channel name '#server-to-user-a b'"),
        ({**EVENT, "channel": "#server-to-user-"}, "Invalid channel name '#server-to-user-'"),
        ({**EVENT, "channel": "c" * 165}, "Invalid channel name: 165 characters"),
        ({**EVENT, "channels": "c"}, "Expected channels parameter to be an array, got a string"),
        ({**EVENT, "channels": {}}, "Expected channels parameter to be an array, got an object"),
        ({**EVENT, "channels": []}, "Expected channels parameter to name at least one channel"),
        ({**EVENT, "channels": ["c", 1]}, "Expected channels[1] to be a string, got a number"),
        ({**EVENT, "channels": ["c", None]}, "Expected channels[1] to be a string, got null"),
        ({**EVENT, "channels": ["c", "a b"]}, "Invalid channel name 'a b'"),
        ({**EVENT, "socket_id": "1"}, "Invalid socket_id: expected a string like '123.456'"),
        ({**EVENT, "socket_id": ""}, "Invalid socket_id: expected a string like '123.456'"),
        ({**EVENT, "socket_id": 1.2}, "Invalid socket_id: expected a string like '123.456'"),
        ({**EVENT, "info": 1}, "Expected info parameter to be a string"),
        ({**EVENT, "info": ["user_count"]}, "Expected info parameter to be a string"),
        ({**EVENT, "info": "cache_hit"}, "Unknown info attribute 'cache_hit'"),
        ({**EVENT, "info": "user_count,"}, "Unknown info attribute ''"),
    ],
)
def test_a_refusal_names_the_field(body: object, text: str) -> None:
    status, found = refused(body)
    assert status == 400
    assert found.startswith(text)
    assert "\n" not in found


def test_one_event_reaches_100_channels_at_most() -> None:
    names = [f"c{number}" for number in range(101)]
    body = {"name": "e", "data": "d"}
    assert parse({**body, "channels": names[:100]}).channels == tuple(names[:100])
    assert refused({**body, "channels": names}) == (
        400,
        "Too many channels (101 > 100) in the channels parameter",
    )


@pytest.mark.parametrize("letter", ["x", "ü", "漢", "😀"])
def test_data_is_measured_in_bytes(letter: str) -> None:
    exact = letter * (10240 // len(letter.encode())) + "x" * (10240 % len(letter.encode()))
    assert len(exact.encode()) == 10240
    assert parse({**EVENT, "data": exact}).data == exact
    assert refused({**EVENT, "data": exact + "x"}) == (413, TOO_LARGE)


def test_an_app_may_have_a_limit_of_its_own() -> None:
    body = encode({**EVENT, "data": "x" * 11})
    with pytest.raises(BadRequest, match="10 bytes") as refusal:
        rest.parse_events(body, Limits(10))
    assert refusal.value.status == 413
    assert rest.parse_events(body, Limits(11)).data == "x" * 11


# POST batch_events


def batch_refused(value: object) -> tuple[int, str]:
    with pytest.raises(BadRequest) as refusal:
        rest.parse_batch_events(encode(value), LIMITS)
    return refusal.value.status, str(refusal.value)


def test_a_batch_is_read_in_order() -> None:
    second = {"name": "f", "channel": "b", "data": "", "socket_id": "1.1", "info": "user_count"}
    assert rest.parse_batch_events(encode({"batch": [EVENT, second]}), LIMITS) == [
        Trigger("e", "d", ("c",), None, frozenset()),
        Trigger("f", "", ("b",), "1.1", frozenset(("user_count",))),
    ]


def test_a_batch_has_10_events_at_most() -> None:
    assert len(rest.parse_batch_events(encode({"batch": [EVENT] * 10}), LIMITS)) == 10
    assert batch_refused({"batch": [EVENT] * 11}) == (400, "Batch too large (11 > 10)")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "Missing required parameter: batch"),
        ({"batch": None}, 400, "Missing required parameter: batch"),
        ({"batch": {}}, 400, "Expected batch parameter to be an array, got an object"),
        ({"batch": [EVENT, "e"]}, 400, "Expected batch[1] to be an object, got a string"),
        (
            {"batch": [EVENT, {"name": "e", "data": "d"}]},
            400,
            "Missing required parameter: channel (in batch[1])",
        ),
        (
            {"batch": [{"name": "e", "data": "d", "channels": ["c"]}]},
            400,
            "Missing required parameter: channel (in batch[0])",
        ),
        (
            {"batch": [EVENT, EVENT, {**EVENT, "data": "x" * 10241}]},
            413,
            f"{TOO_LARGE} (in batch[2])",
        ),
        (
            {"batch": [{**EVENT, "name": 1}]},
            400,
            "Expected name parameter to be a string, got a number (in batch[0])",
        ),
    ],
)
def test_a_refusal_of_a_batch_names_the_field_and_the_event(
    body: object, status: int, text: str
) -> None:
    assert batch_refused(body) == (status, text)


# Whatever comes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=12)
        | st.dictionaries(
            st.sampled_from(
                ["name", "data", "channel", "channels", "socket_id", "info", "batch", "x"]
            ),
            children,
        )
    ),
    max_leaves=20,
)


@given(st.binary(max_size=50) | JSON.map(encode))
def test_any_body_is_understood_or_refused(body: bytes) -> None:
    for parse_body in (rest.parse_events, rest.parse_batch_events):
        try:
            parse_body(body, LIMITS)
        except BadRequest as refusal:
            assert refusal.status in (400, 413)
            assert str(refusal)
