"""What names may look like and what their beginning promises."""

from __future__ import annotations

import string
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_protocol.channels import (
    ENCRYPTED,
    PRESENCE,
    PRIVATE,
    PUBLIC,
    ChannelKind,
    channel_name_fault,
    event_name_fault,
    is_socket_id,
    json_type,
    kind_of,
)

ALLOWED = string.ascii_letters + string.digits + "_-=@,.;"


@pytest.mark.parametrize("character", ALLOWED)
def test_each_allowed_character_makes_a_channel_name(character: str) -> None:
    assert channel_name_fault(character) is None
    assert channel_name_fault(f"a{character}b") is None


@given(st.characters().filter(lambda character: character not in ALLOWED))
def test_any_other_character_does_not(character: str) -> None:
    for name in (character, f"a{character}", f"{character}a"):
        fault = channel_name_fault(name)
        assert fault is not None
        assert fault.startswith("Invalid channel name ")


@pytest.mark.parametrize("name", ["a\n", "ä", "١", "a b", "a/b", "a:b", "#a", "#server-to-user-1"])
def test_names_that_often_slip_through(name: str) -> None:
    """A newline at the end that ``$`` forgives, letters and digits beyond ASCII, and ``#``."""
    assert channel_name_fault(name) is not None


@pytest.mark.parametrize("prefix", ["", "private-", "private-encrypted-", "presence-"])
def test_a_channel_name_has_164_characters_at_most_prefix_included(prefix: str) -> None:
    assert channel_name_fault(prefix.ljust(164, "x")) is None
    fault = channel_name_fault(prefix.ljust(165, "x"))
    assert fault is not None
    assert "165 characters" in fault
    assert "164" in fault


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "Invalid channel name: it is empty"),
        (None, "Invalid channel name: expected a string, got null"),
        (1, "Invalid channel name: expected a string, got a number"),
        (True, "Invalid channel name: expected a string, got a boolean"),
        (["a"], "Invalid channel name: expected a string, got an array"),
        ({}, "Invalid channel name: expected a string, got an object"),
    ],
)
def test_a_fault_says_what_was_found(name: object, expected: str) -> None:
    assert channel_name_fault(name) == expected


def test_a_fault_does_not_repeat_an_endless_name() -> None:
    fault = channel_name_fault("x" * 1_000_000)
    assert fault is not None
    assert len(fault) < 200


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("news", PUBLIC),
        ("private-a", PRIVATE),
        ("private-", PRIVATE),
        ("private-encrypted-a", ENCRYPTED),
        ("private-encrypted", PRIVATE),
        ("presence-a", PRESENCE),
        ("presence-encrypted-a", PRESENCE),
        # Only the very start counts, in lower case and with its hyphen.
        ("my-private-a", PUBLIC),
        ("not-presence-a", PUBLIC),
        ("a-private-encrypted-b", PUBLIC),
        ("private", PUBLIC),
        ("presence", PUBLIC),
        ("privatea", PUBLIC),
        ("Private-a", PUBLIC),
        ("PRESENCE-a", PUBLIC),
        ("encrypted-private-a", PUBLIC),
        ("", PUBLIC),
    ],
)
def test_the_start_of_a_name_says_its_kind(name: str, kind: ChannelKind) -> None:
    assert kind_of(name) is kind


@pytest.mark.parametrize(
    ("kind", "private", "presence", "encrypted"),
    [
        (PUBLIC, False, False, False),
        (PRIVATE, True, False, False),
        (ENCRYPTED, True, False, True),
        (PRESENCE, True, True, False),
    ],
)
def test_what_a_kind_promises(
    kind: ChannelKind, private: bool, presence: bool, encrypted: bool
) -> None:
    assert (kind.private, kind.presence, kind.encrypted) == (private, presence, encrypted)
    assert kind.client_events == private


def test_an_event_name_has_200_characters_at_most() -> None:
    assert event_name_fault("x" * 200) is None
    fault = event_name_fault("x" * 201)
    assert fault == "Invalid event name: 201 characters, but at most 200 are allowed"


@pytest.mark.parametrize("name", ["a", "App\\Events\\Sent", "client-x", "ä ö", "\n"])
def test_an_event_name_may_hold_anything(name: str) -> None:
    """Laravel's events are class names with backslashes."""
    assert event_name_fault(name) is None


@pytest.mark.parametrize(("name", "found"), [("", "empty"), (None, "null"), (7, "a number")])
def test_an_event_name_is_a_string(name: object, found: str) -> None:
    fault = event_name_fault(name)
    assert fault is not None
    assert found in fault


@pytest.mark.parametrize("value", ["1.1", "9248.3770520", "131160.155806628", "0.0"])
def test_socket_ids(value: str) -> None:
    assert is_socket_id(value)


@pytest.mark.parametrize(
    "value",
    ["", "1", ".", "1.", ".1", "1.1.1", "1,1", "a.b", "1.1\n", " 1.1", "١.١", "-1.1", 1.1, None],
)
def test_what_is_no_socket_id(value: object) -> None:
    assert not is_socket_id(value)


def test_a_socket_id_is_not_endless() -> None:
    assert not is_socket_id("1" * 1000 + ".1")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "a number"),
        (1.5, "a number"),
        ("", "a string"),
        ([], "an array"),
        ({}, "an object"),
    ],
)
def test_json_types_are_named_as_the_sender_knows_them(value: object, name: str) -> None:
    assert json_type(value) == name


def test_long_names_are_not_kept_in_memory() -> None:
    """Anybody may ask to subscribe to them."""
    tracemalloc.start()
    try:
        for number in range(100):
            assert kind_of(f"private-{number}" + "x" * 100_000) is PRIVATE
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
