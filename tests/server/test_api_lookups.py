"""Looking up: channels, one channel, and the users of one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.app_server import AppServer, app

EXTRANEOUS = "The following query string parameters are extraneous: "


@pytest.fixture
def server() -> Iterator[AppServer]:
    with AppServer(app(), app(id="1002", key="key-2", secret="secret-2")) as server:
        yield server


# GET channels


def test_without_subscribers_there_are_no_channels(server: AppServer) -> None:
    server.trigger("c")
    assert server.get("channels").body == b'{"channels":{}}'


@pytest.mark.documented("HTTP API", "`GET channels` lists the occupied channels, as an object")
def test_occupied_channels_are_listed_while_they_are(server: AppServer) -> None:
    one, two = server.client(), server.client()
    for client in (one, two):
        client.subscribe("a")
    one.subscribe("private-encrypted-b")
    one.enter("presence-c", "ann")
    assert server.get("channels").ok() == {
        "channels": {"a": {}, "private-encrypted-b": {}, "presence-c": {}}
    }
    one.close()
    assert server.get("channels").ok() == {"channels": {"a": {}}}
    two.unsubscribe("a")
    assert server.get("channels").ok() == {"channels": {}}


@pytest.mark.documented("HTTP API", "`filter_by_prefix` selects among them")
def test_channels_by_prefix(server: AppServer) -> None:
    client = server.client()
    for channel in ("room-1", "room-2", "a-room-", "private-room-1"):
        client.subscribe(channel)
    found = server.get("channels", filter_by_prefix="room-").ok()
    assert found == {"channels": {"room-1": {}, "room-2": {}}}
    assert server.get("channels", filter_by_prefix="none").ok() == {"channels": {}}
    assert len(server.get("channels", filter_by_prefix="").ok()["channels"]) == 4


def test_channels_with_counts(server: AppServer) -> None:
    tabs = server.client(), server.client()
    for tab in tabs:
        tab.enter("presence-a", "ann")
    tabs[0].subscribe("b")
    counted = server.get(
        "channels", filter_by_prefix="presence-", info="user_count,subscription_count"
    )
    assert counted.ok() == {"channels": {"presence-a": {"user_count": 1, "subscription_count": 2}}}
    connections = server.get("channels", info="subscription_count").ok()["channels"]
    assert connections == {"presence-a": {"subscription_count": 2}, "b": {"subscription_count": 1}}


@pytest.mark.parametrize("prefix", [None, "", "private-", "presenc"])
def test_user_counts_need_the_presence_prefix(server: AppServer, prefix: str | None) -> None:
    parameters = {"info": "user_count"} | ({} if prefix is None else {"filter_by_prefix": prefix})
    assert server.get("channels", None, **parameters).refusal(400) == (
        "user_count may only be requested for presence channels - "
        "please supply filter_by_prefix begining with presence-"
    )


def test_apps_do_not_see_one_anothers_channels(server: AppServer) -> None:
    mine, theirs = server.apps
    server.client(mine).enter("presence-a", "ann")
    server.client(theirs).enter("presence-a", "bob")
    server.client(theirs).subscribe("b")
    assert server.get("channels", mine).ok() == {"channels": {"presence-a": {}}}
    assert server.get("channels", theirs).ok() == {"channels": {"presence-a": {}, "b": {}}}
    assert server.get("channels/presence-a/users", mine).ok() == {"users": [{"id": "ann"}]}
    assert server.get("channels/presence-a/users", theirs).ok() == {"users": [{"id": "bob"}]}
    assert server.get("channels/b", mine).ok() == {"occupied": False}


# GET channels/{name}


@pytest.mark.documented(
    "HTTP API", "`GET channels/{name}` says `occupied`, false for a channel nobody is in"
)
@pytest.mark.parametrize("channel", ["a", "private-a", "private-encrypted-a", "presence-a"])
def test_an_unoccupied_channel_is_no_mistake(server: AppServer, channel: str) -> None:
    assert server.get(f"channels/{channel}").ok() == {"occupied": False}


@pytest.mark.documented(
    "HTTP API", "`GET channels/{name}` says `occupied`, false for a channel nobody is in"
)
def test_a_channel_is_occupied_until_its_last_subscriber_has_left(server: AppServer) -> None:
    one, two = server.client(), server.client()
    for client in (one, two):
        client.subscribe("a")
        assert server.get("channels/a").ok() == {"occupied": True}
    one.unsubscribe("a")
    assert server.get("channels/a").ok() == {"occupied": True}
    two.close()
    assert server.get("channels/a").ok() == {"occupied": False}


@pytest.mark.parametrize("channel", ["a", "private-a", "private-encrypted-a"])
def test_connections_are_counted_on_every_kind_of_channel(server: AppServer, channel: str) -> None:
    for _ in range(2):
        server.client().subscribe(channel)
    counted = server.get(f"channels/{channel}", info="subscription_count")
    assert counted.ok() == {"occupied": True, "subscription_count": 2}
    refused = server.get(f"channels/{channel}", info="user_count")
    assert refused.refusal(400) == (
        "Cannot retrieve the user count unless the channel is a presence channel"
    )


def test_a_presence_channel_counts_users_and_connections(server: AppServer) -> None:
    for user in ("ann", "ann", "bob"):
        server.client().enter("presence-a", user)
    both = server.get("channels/presence-a", info="user_count,subscription_count")
    assert both.ok() == {"occupied": True, "user_count": 2, "subscription_count": 3}
    one = server.get("channels/presence-a", info="user_count")
    assert one.ok() == {"occupied": True, "user_count": 2}


def test_every_character_of_a_channel_name_may_stand_in_a_path(server: AppServer) -> None:
    channel = "aZ09_-=@,.;"
    server.client().subscribe(channel)
    assert server.get(f"channels/{channel}").ok() == {"occupied": True}
    assert server.get("channels/aZ09_-%3D%40%2C.%3B").ok() == {"occupied": True}


# GET channels/{name}/users


@pytest.mark.documented(
    "HTTP API", "`GET channels/{name}/users` lists each user of a presence channel once"
)
def test_users_are_listed_once_each_in_order_of_arrival(server: AppServer) -> None:
    clients = []
    for user in ("bob", "ann", "bob", 7):
        clients.append(server.client())
        clients[-1].enter("presence-a", user, {"name": "whatever"})
    users = server.get("channels/presence-a/users")
    assert users.ok() == {"users": [{"id": "bob"}, {"id": "ann"}, {"id": "7"}]}
    clients[0].close()
    clients[1].close()
    users = server.get("channels/presence-a/users")
    assert users.ok() == {"users": [{"id": "bob"}, {"id": "7"}]}


def test_an_unoccupied_presence_channel_has_no_users(server: AppServer) -> None:
    assert server.get("channels/presence-a/users").body == b'{"users":[]}'


@pytest.mark.parametrize("channel", ["a", "private-a", "my-presence-a"])
def test_a_channel_without_presence_has_no_list_of_users(server: AppServer, channel: str) -> None:
    refused = server.get(f"channels/{channel}/users")
    assert refused.body == b"Users can only be retrieved for presence channels\n"
    assert refused.status == 400


# Parameters


@pytest.mark.parametrize(
    ("path", "parameters", "named"),
    [
        ("channels", {"prefix": "a"}, "prefix"),
        ("channels/a", {"filter_by_prefix": "a"}, "filter_by_prefix"),
        ("channels/presence-a/users", {"info": "user_count"}, "info"),
        ("channels/presence-a/users", {"b": "", "a": ""}, "a, b"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(
    server: AppServer, path: str, parameters: dict[str, str], named: str
) -> None:
    assert server.get(path, None, **parameters).refusal(400) == EXTRANEOUS + named


@pytest.mark.parametrize("path", ["channels", "channels/a", "channels/presence-a"])
@pytest.mark.parametrize("info", ["cache_hits", "subscription_count,", "Subscription_Count"])
def test_an_unknown_attribute_is_refused(server: AppServer, path: str, info: str) -> None:
    text = server.get(path, info=info).refusal(400)
    assert "info should be a comma separated list of attributes" in text
