"""Parameters of the API's questions: which attributes are had by which channels."""

from __future__ import annotations

import pytest

from callboard_protocol import rest
from callboard_protocol.rest import BadRequest, ChannelCounts

BOTH = frozenset(("user_count", "subscription_count"))


@pytest.mark.parametrize(
    ("query", "prefix", "info"),
    [
        ({}, "", frozenset()),
        ({"info": ""}, "", frozenset()),
        ({"filter_by_prefix": "room-"}, "room-", frozenset()),
        ({"info": "subscription_count"}, "", frozenset(("subscription_count",))),
        (
            {"filter_by_prefix": "presence-room-", "info": "user_count,subscription_count"},
            "presence-room-",
            BOTH,
        ),
    ],
)
def test_channels_query(query: dict[str, str], prefix: str, info: frozenset[str]) -> None:
    assert rest.parse_channels_query(query) == (prefix, info)


@pytest.mark.parametrize("prefix", [None, "", "private-", "presence", "my-presence-"])
def test_user_counts_are_for_presence_channels_only(prefix: str | None) -> None:
    query = {"info": "user_count"} | ({} if prefix is None else {"filter_by_prefix": prefix})
    with pytest.raises(BadRequest) as refusal:
        rest.parse_channels_query(query)
    assert str(refusal.value) == (
        "user_count may only be requested for presence channels - "
        "please supply filter_by_prefix begining with presence-"
    )


@pytest.mark.parametrize("channel", ["a", "private-a", "my-presence-a"])
def test_the_user_count_of_a_channel_without_presence(channel: str) -> None:
    assert rest.parse_channel_query(channel, {"info": "subscription_count"}) == {
        "subscription_count"
    }
    with pytest.raises(BadRequest) as refusal:
        rest.parse_channel_query(channel, {"info": "user_count"})
    assert str(refusal.value) == (
        "Cannot retrieve the user count unless the channel is a presence channel"
    )
    with pytest.raises(BadRequest) as refusal:
        rest.parse_users_query(channel, {})
    assert str(refusal.value) == "Users can only be retrieved for presence channels"


def test_a_presence_channel_has_everything() -> None:
    assert rest.parse_channel_query("presence-a", {"info": "user_count,subscription_count"}) == BOTH
    assert rest.parse_channel_query("presence-a", {}) == frozenset()
    rest.parse_users_query("presence-a", {})


def test_an_unknown_attribute_is_answered_with_the_known_ones() -> None:
    with pytest.raises(BadRequest) as refusal:
        rest.parse_channel_query("a", {"info": "users"})
    assert str(refusal.value) == (
        "Unknown info attribute 'users': info should be a comma separated list of attributes "
        "(cache, subscription_count, user_count)"
    )


def test_parameters_that_mean_nothing_are_extraneous() -> None:
    extraneous = "The following query string parameters are extraneous: "
    with pytest.raises(BadRequest) as refusal:
        rest.parse_users_query("presence-a", {"info": "user_count"})
    assert str(refusal.value) == extraneous + "info"
    with pytest.raises(BadRequest) as refusal:
        rest.parse_channel_query("a", {"info": "", "filter_by_prefix": "a", "b": ""})
    assert str(refusal.value) == extraneous + "b, filter_by_prefix"
    with pytest.raises(BadRequest) as refusal:
        rest.parse_channels_query({"prefix": "a"})
    assert str(refusal.value) == extraneous + "prefix"


@pytest.mark.parametrize(
    ("counts", "info", "expected"),
    [
        (ChannelCounts(3, 2), BOTH, {"user_count": 2, "subscription_count": 3}),
        (ChannelCounts(0, 0), BOTH, {"user_count": 0, "subscription_count": 0}),
        (ChannelCounts(3, None), BOTH, {"subscription_count": 3}),
        (ChannelCounts(3, 2), frozenset(("user_count",)), {"user_count": 2}),
        (ChannelCounts(3, 2), frozenset(), {}),
    ],
)
def test_counts_are_those_wanted_that_the_channel_has(
    counts: ChannelCounts, info: frozenset[str], expected: dict[str, int]
) -> None:
    assert rest.counts_of(counts, info) == expected
