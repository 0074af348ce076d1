"""Presence: members are users, not connections, and the others hear of their coming and going."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support.app_server import AppServer, Client, Message, app, member_data

CHANNEL = "presence-a"


@pytest.fixture
def server() -> Iterator[AppServer]:
    with AppServer(app()) as server:
        yield server


def news(client: Client) -> tuple[str, Message]:
    """Return what the next frame says of a member: ``added`` or ``removed``, and its data."""
    message = client.receive()
    assert message.keys() == {"event", "channel", "data"}
    assert message["channel"] == CHANNEL
    return message["event"].removeprefix("pusher_internal:member_"), json.loads(message["data"])


def refused(client: Client, channel_data: str | None) -> str:
    """Ask with this data, rightly signed; return the error."""
    data = {} if channel_data is None else {"channel_data": channel_data}
    client.ask(CHANNEL, auth=client.sign(CHANNEL, channel_data), **data)
    text = client.error()
    client.quiet()
    return text


# The roster


def test_the_first_member_finds_itself(server: AppServer) -> None:
    client = server.client()
    data = member_data("ann", {"name": "Ann"})
    client.ask(CHANNEL, auth=client.sign(CHANNEL, data), channel_data=data)
    assert client.receive_text() == (
        '{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":'
        '"{\\"presence\\":{\\"ids\\":[\\"ann\\"],\\"hash\\":{\\"ann\\":{\\"name\\":\\"Ann\\"}},'
        '\\"count\\":1}}"}'
    )
    client.quiet()


@pytest.mark.documented(
    "Presence channels",
    "The answer has every user once in `ids`, `hash` and `count`, the newcomer included",
)
def test_every_user_is_in_ids_hash_and_count_once(server: AppServer) -> None:
    for user, info in (("ann", {"name": "Ann"}), ("bob", None), ("ann", {"name": "Ann"})):
        server.client().enter(CHANNEL, user, info)
    assert server.client().enter(CHANNEL, "eve", ["any", "JSON"]) == {
        "ids": ["ann", "bob", "eve"],
        "hash": {"ann": {"name": "Ann"}, "bob": None, "eve": ["any", "JSON"]},
        "count": 3,
    }


@pytest.mark.documented("Presence channels", "A numeric user id is told as a string")
def test_a_numeric_user_id_is_a_string_to_all(server: AppServer) -> None:
    """The documentation signs ``10``; Java and .NET look ids up as strings."""
    witness = server.client()
    witness.enter(CHANNEL, "ann")
    presence = server.client().enter(CHANNEL, 10, {"name": "Mr. Channels"})
    assert presence["ids"] == ["ann", "10"]
    assert news(witness) == ("added", {"user_id": "10", "user_info": {"name": "Mr. Channels"}})
    # And so it is one user with the string.
    assert server.client().enter(CHANNEL, "10")["count"] == 2
    witness.quiet()


def test_members_of_one_channel_are_not_those_of_another(server: AppServer) -> None:
    witness = server.client()
    witness.enter(CHANNEL, "ann")
    assert server.client().enter("presence-b", "bob")["ids"] == ["bob"]
    witness.quiet()


# Coming and going


@pytest.mark.documented(
    "Presence channels", "`member_added` goes to the others, with the user's info"
)
def test_a_member_is_announced_to_the_others_and_not_to_itself(server: AppServer) -> None:
    ann, bob = server.client(), server.client()
    ann.enter(CHANNEL, "ann")
    bob.enter(CHANNEL, "bob", {"name": "Bob"})
    assert news(ann) == ("added", {"user_id": "bob", "user_info": {"name": "Bob"}})
    for client in (ann, bob):
        client.quiet()


def test_a_member_without_info_is_announced_without(server: AppServer) -> None:
    ann = server.client()
    ann.enter(CHANNEL, "ann")
    server.client().enter(CHANNEL, "bob")
    assert ann.receive_text() == (
        '{"event":"pusher_internal:member_added","channel":"presence-a",'
        '"data":"{\\"user_id\\":\\"bob\\"}"}'
    )


@pytest.mark.documented(
    "Presence channels", "Members are users: only the first and the last connection of one is told"
)
def test_two_tabs_are_one_member(server: AppServer) -> None:
    witness, first, second = server.client(), server.client(), server.client()
    witness.enter(CHANNEL, "ann")
    first.enter(CHANNEL, "bob")
    assert news(witness)[0] == "added"
    assert second.enter(CHANNEL, "bob")["count"] == 2
    # Only the first connection announces a user, to nobody's second one either.
    for client in (witness, first, second):
        client.quiet()
    first.unsubscribe(CHANNEL)
    for client in (witness, second):
        client.quiet()
    second.unsubscribe(CHANNEL)
    assert news(witness) == ("removed", {"user_id": "bob"})
    for client in (witness, first, second):
        client.quiet()


@pytest.mark.documented("Presence channels", "`member_removed` is told however the member left")
@pytest.mark.parametrize("how", ["unsubscribe", "close", "cut"])
def test_a_member_is_gone_however_it_leaves(server: AppServer, how: str) -> None:
    witness, client = server.client(), server.client()
    witness.enter(CHANNEL, "ann")
    client.enter(CHANNEL, "bob", {"name": "Bob"})
    assert news(witness)[0] == "added"
    if how == "unsubscribe":
        client.unsubscribe(CHANNEL)
    else:
        client.close() if how == "close" else client.cut()
    assert witness.receive_text() == (
        '{"event":"pusher_internal:member_removed","channel":"presence-a",'
        '"data":"{\\"user_id\\":\\"bob\\"}"}'
    )
    assert server.get(f"channels/{CHANNEL}/users").ok() == {"users": [{"id": "ann"}]}
    assert server.client().enter(CHANNEL, "eve")["ids"] == ["ann", "eve"]


def test_one_tab_that_is_cut_leaves_the_other_a_member(server: AppServer) -> None:
    witness, first, second = server.client(), server.client(), server.client()
    for client, user in ((witness, "ann"), (first, "bob"), (second, "bob")):
        client.enter(CHANNEL, user)
    assert news(witness)[0] == "added"
    witness.enter("presence-fence", "ann")
    first.enter("presence-fence", "bob")
    assert witness.receive()["event"] == "pusher_internal:member_added"
    first.cut()
    # Channels are left in the order in which they were joined.
    gone = witness.receive()
    assert gone["event"] == "pusher_internal:member_removed"
    assert gone["channel"] == "presence-fence"
    witness.quiet()
    assert server.get(f"channels/{CHANNEL}/users").ok()["users"] == [{"id": "ann"}, {"id": "bob"}]


def test_a_member_that_comes_back_is_announced_again(server: AppServer) -> None:
    witness, client = server.client(), server.client()
    witness.enter(CHANNEL, "ann")
    for name in ("Bob", "Robert"):
        client.enter(CHANNEL, "bob", {"name": name})
        assert news(witness) == ("added", {"user_id": "bob", "user_info": {"name": name}})
        client.unsubscribe(CHANNEL)
        assert news(witness) == ("removed", {"user_id": "bob"})


def test_one_connection_may_be_several_members(server: AppServer) -> None:
    """The id belongs to the subscription: nothing ties it to the connection."""
    client = server.client()
    client.enter(CHANNEL, "ann")
    assert client.enter("presence-b", "bob")["ids"] == ["bob"]
    client.unsubscribe(CHANNEL)
    assert server.get("channels/presence-b/users").ok() == {"users": [{"id": "bob"}]}


@pytest.mark.documented(
    "Presence channels", "A user's info is that of its first connection while it is present"
)
def test_a_users_info_is_frozen_while_it_is_present(server: AppServer) -> None:
    first, second = server.client(), server.client()
    first.enter(CHANNEL, "ann", {"tab": 1})
    assert second.enter(CHANNEL, "ann", {"tab": 2})["hash"] == {"ann": {"tab": 1}}
    # Also when the connection that brought it has left.
    first.unsubscribe(CHANNEL)
    assert server.client().enter(CHANNEL, "bob")["hash"] == {"ann": {"tab": 1}, "bob": None}


def test_who_comes_and_goes_at_once_is_announced_in_that_order(server: AppServer) -> None:
    witness = server.client()
    witness.enter(CHANNEL, "ann")
    for number in range(10):
        client = server.client()
        client.enter(CHANNEL, f"u{number}")
        client.close()
    heard = [news(witness) for _ in range(20)]
    for number in range(10):
        added, removed = heard[2 * number : 2 * number + 2]
        assert added == ("added", {"user_id": f"u{number}"})
        assert removed == ("removed", {"user_id": f"u{number}"})


def test_events_reach_every_connection_of_every_member(server: AppServer) -> None:
    clients = [server.client() for _ in range(3)]
    for client, user in zip(clients, ("ann", "ann", "bob"), strict=True):
        client.enter(CHANNEL, user)
    server.trigger(CHANNEL)
    for client in clients[:2]:
        assert news(client)[0] == "added"
    for client in clients:
        assert client.receive() == {"event": "e", "channel": CHANNEL, "data": "d"}
        client.quiet()


# Limits and mistakes


def test_a_channel_has_so_many_members_and_not_one_more() -> None:
    with AppServer(app(max_presence_members=2)) as server:
        ann, bob = server.client(), server.client()
        ann.enter(CHANNEL, "ann")
        bob.enter(CHANNEL, "bob")
        assert news(ann)[0] == "added"
        late = server.client()
        text = refused(late, member_data("eve"))
        assert text == "Presence channel presence-a is full: it has reached its limit of 2 members"
        server.trigger(CHANNEL)
        late.quiet()
        for client in (ann, bob):
            assert client.receive()["event"] == "e"
        # A further connection of a member is no further member, and other channels have room.
        assert server.client().enter(CHANNEL, "ann")["count"] == 2
        late.enter("presence-b", "eve")
        bob.unsubscribe(CHANNEL)
        assert late.enter(CHANNEL, "eve")["ids"] == ["ann", "eve"]


@pytest.mark.documented("Presence channels", "A channel has 100 members at most")
def test_by_default_a_channel_has_100_members(server: AppServer) -> None:
    for number in range(100):
        server.client().enter(CHANNEL, number)
    late = server.client()
    assert refused(late, member_data("one too many")).endswith("its limit of 100 members")
    assert late.enter(CHANNEL, "99")["count"] == 100


def test_missing_channel_data(server: AppServer) -> None:
    client = server.client()
    assert refused(client, None) == (
        "Missing parameter: channel_data is required to subscribe to presence-a "
        '(a JSON string with "user_id")'
    )
    assert server.get("channels").ok() == {"channels": {}}


@pytest.mark.documented("Presence channels", "`channel_data` must be an object with a `user_id`")
@pytest.mark.parametrize(
    ("channel_data", "text"),
    [
        ("", "Invalid channel_data: not JSON"),
        ("ann", "Invalid channel_data: not JSON"),
        ('"ann"', "Invalid channel_data: expected an object, got a string"),
        ("null", "Invalid channel_data: expected an object, got null"),
        ("{}", "Invalid channel_data: user_id must be a non-empty string, got nothing"),
        ('{"user_id":null}', "Invalid channel_data: user_id must be a non-empty string, got null"),
        ('{"user_id":""}', "Invalid channel_data: user_id must be a non-empty string"),
        ('{"user_id":{}}', "Invalid channel_data: user_id must be a non-empty string"),
        ('{"user_id":true}', "Invalid channel_data: user_id must be a non-empty string"),
        (member_data("u" * 129), "Invalid channel_data: user_id has 129 characters"),
        (member_data("u", "x" * 1024), "Invalid channel_data: larger than the 1024 bytes"),
        (
            '{"user_id":"u","user_info":' + "[" * 400 + "]" * 400 + "}",
            "Invalid channel_data: user_info: nested too deeply",
        ),
    ],
)
def test_bad_channel_data_is_named_although_it_was_signed(
    server: AppServer, channel_data: str, text: str
) -> None:
    client = server.client()
    assert refused(client, channel_data).startswith(text)
    assert server.get("channels").ok() == {"channels": {}}
    assert client.enter(CHANNEL, "u" * 128)["count"] == 1


def test_channel_data_that_is_no_string(server: AppServer) -> None:
    client = server.client()
    client.ask(CHANNEL, auth=client.sign(CHANNEL), channel_data={"user_id": "ann"})
    text = "Expected parameter data.channel_data to be a string, got an object"
    assert client.error() == text
    client.quiet()


def test_a_second_subscription_as_another_user_changes_nothing(server: AppServer) -> None:
    witness, client = server.client(), server.client()
    witness.enter(CHANNEL, "ann")
    client.enter(CHANNEL, "bob")
    assert news(witness)[0] == "added"
    assert refused(client, member_data("eve")) == "Existing subscription to channel presence-a"
    witness.quiet()
    assert server.get(f"channels/{CHANNEL}/users").ok()["users"] == [{"id": "ann"}, {"id": "bob"}]
