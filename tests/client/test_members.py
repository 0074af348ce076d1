"""Members of a presence channel as different services tell them."""

from __future__ import annotations

import orjson
import pytest

from callboard_client.members import Members


def _presence(**presence: object) -> str:
    return orjson.dumps({"presence": presence}).decode()


def test_the_list_and_its_changes() -> None:
    members = Members()
    view = members.view
    members.succeeded(_presence(ids=["a", "b"], hash={"a": {"name": "A"}, "b": None}, count=2))
    assert view == {"a": {"name": "A"}, "b": None}
    members.added('{"user_id":"c","user_info":{"name":"C"}}')
    members.removed('{"user_id":"a"}')
    assert view == {"b": None, "c": {"name": "C"}}
    members.succeeded(_presence(ids=[], hash={}, count=0))
    assert view == {}


def test_a_list_without_ids_is_read_from_the_hash() -> None:
    members = Members()
    members.succeeded(_presence(hash={"a": {"name": "A"}}))
    assert members.view == {"a": {"name": "A"}}


def test_numbers_as_ids_are_found_as_text() -> None:
    members = Members()
    members.succeeded(_presence(ids=[10], hash={"10": {"name": "A"}}))
    assert members.view == {"10": {"name": "A"}}
    members.removed('{"user_id":10}')
    assert members.view == {}


@pytest.mark.parametrize("data", ["", "{}", "[]", '{"presence":[]}', '{"presence":{"hash":1}}'])
def test_a_success_without_a_list_is_an_empty_one(data: str) -> None:
    members = Members()
    members.added('{"user_id":"old"}')
    members.succeeded(data)
    members.added("nonsense")
    members.removed("nonsense")
    assert members.view == {}
