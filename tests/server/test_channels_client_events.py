"""Client events: from members of private and presence channels to the others, to no one else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support.app_server import AppServer, Client, app

OFF = app(id="1002", key="key-2", secret="secret-2", client_events=False)
LIMIT = 10


@pytest.fixture
def server() -> Iterator[AppServer]:
    with AppServer(app(), OFF) as server:
        yield server


def pair(server: AppServer, channel: str) -> tuple[Client, Client]:
    """Return two members of the channel: ann, who will send, and bob."""
    sender, listener = server.client(), server.client()
    for client, user in ((sender, "ann"), (listener, "bob")):
        if channel.startswith("presence-"):
            client.enter(channel, user)
        else:
            client.subscribe(channel)
    if channel.startswith("presence-"):
        assert sender.receive()["event"] == "pusher_internal:member_added"
    return sender, listener


# Who hears what


@pytest.mark.documented("Client events", "The other subscribers hear it, the sender does not")
@pytest.mark.parametrize("channel", ["private-a", "private-encrypted-a"])
def test_the_others_hear_it_and_the_sender_does_not(server: AppServer, channel: str) -> None:
    sender, listener = pair(server, channel)
    outsider = server.client()
    outsider.subscribe("private-b")
    sender.send(event="client-typing", channel=channel, data={"on": True})
    assert listener.receive() == {
        "event": "client-typing",
        "channel": channel,
        "data": '{"on":true}',
    }
    for client in (sender, listener, outsider):
        client.quiet()


@pytest.mark.documented(
    "Client events", "On presence channels, and there alone, it carries the sender's user id"
)
def test_on_presence_channels_the_server_says_whose_it_is(server: AppServer) -> None:
    sender, listener = pair(server, "presence-a")
    sender.send(event="client-e", channel="presence-a", data="d", user_id="eve")
    assert listener.receive() == {
        "event": "client-e",
        "channel": "presence-a",
        "data": "d",
        "user_id": "ann",
    }
    sender.quiet()


def test_the_senders_other_connection_hears_it(server: AppServer) -> None:
    sender, _ = pair(server, "presence-a")
    other_tab = server.client()
    other_tab.enter("presence-a", "ann")
    sender.send(event="client-e", channel="presence-a", data="d")
    assert other_tab.receive()["user_id"] == "ann"


@pytest.mark.deviation("client event data")
@pytest.mark.parametrize(
    ("data", "relayed"),
    [
        ('"text"', "text"),
        ('""', ""),
        ('"{\\"a\\": 1}"', '{"a": 1}'),
        ('{"a": 1, "ä": [null, true]}', '{"a":1,"ä":[null,true]}'),
        ("{}", "{}"),
        ("[1, 2]", "[1,2]"),
        ("7", "7"),
        ("false", "false"),
        ("null", "{}"),
    ],
)
def test_data_is_relayed_as_a_string(server: AppServer, data: str, relayed: str) -> None:
    """A string as it is, anything else as its JSON text: the .NET client wants a string."""
    sender, listener = pair(server, "private-a")
    sender.send_text(f'{{"event":"client-e","channel":"private-a","data":{data}}}')
    assert listener.receive() == {"event": "client-e", "channel": "private-a", "data": relayed}


@pytest.mark.deviation("client events without data")
def test_missing_data_is_relayed_as_an_empty_object(server: AppServer) -> None:
    sender, listener = pair(server, "private-a")
    sender.send(event="client-e", channel="private-a")
    assert listener.receive() == {"event": "client-e", "channel": "private-a", "data": "{}"}


def test_events_of_one_sender_keep_their_order_among_triggers(server: AppServer) -> None:
    sender, listener = pair(server, "private-a")
    for number in range(LIMIT):
        sender.send(event="client-e", channel="private-a", data=str(number))
    sender.quiet()
    server.trigger("private-a", data="last")
    expected = [*map(str, range(LIMIT)), "last"]
    assert [listener.receive()["data"] for _ in expected] == expected


# Who may not


def refused(sender: Client, listener: Client, **message: object) -> str:
    """Send a message; return the error once it is shown that nobody heard it."""
    sender.send(**message)
    text = sender.error()
    for client in (sender, listener):
        client.quiet()
    return text


@pytest.mark.documented("Client events", "Only a subscriber may send one")
@pytest.mark.parametrize("channel", ["private-a", "presence-a"])
def test_one_must_be_subscribed(server: AppServer, channel: str) -> None:
    _, listener = pair(server, channel)
    outsider = server.client()
    expected = f"Cannot broadcast client event (connection not subscribed to channel {channel})"
    assert refused(outsider, listener, event="client-e", channel=channel, data={}) == expected


def test_one_must_still_be_subscribed(server: AppServer) -> None:
    sender, listener = pair(server, "private-a")
    sender.unsubscribe("private-a")
    text = refused(sender, listener, event="client-e", channel="private-a", data={})
    assert text.startswith("Cannot broadcast client event")


@pytest.mark.documented("Client events", "Public channels have none")
@pytest.mark.parametrize("channel", ["a", "my-private-a"])
def test_public_channels_have_none(server: AppServer, channel: str) -> None:
    sender, listener = pair(server, channel)
    assert refused(sender, listener, event="client-e", channel=channel, data={}) == (
        "Client event rejected - only supported on private and presence channels"
    )


@pytest.mark.parametrize("channel", ["none", None])
def test_a_client_event_names_its_channel(server: AppServer, channel: str | None) -> None:
    sender, listener = pair(server, "private-a")
    more = {} if channel == "none" else {"channel": channel}
    text = refused(sender, listener, event="client-e", data={}, **more)
    assert text == "Invalid client event (must contain channel and data)"


def test_an_empty_channel_is_no_channel(server: AppServer) -> None:
    sender, listener = pair(server, "private-a")
    text = refused(sender, listener, event="client-e", channel="", data={})
    assert text.startswith("Client event rejected")


@pytest.mark.parametrize("channel", ["private-a", "presence-a"])
def test_an_app_may_have_none_and_says_how_to_switch_them_on(
    server: AppServer, channel: str
) -> None:
    sender, listener = server.client(OFF), server.client(OFF)
    for client, user in ((sender, "ann"), (listener, "bob")):
        client.enter(channel, user) if channel == "presence-a" else client.subscribe(channel)
    if channel == "presence-a":
        sender.receive()
    text = refused(sender, listener, event="client-e", channel=channel, data={})
    assert text.startswith(
        "To send client events, you must enable this feature in the Settings page of your dashboard"
    )
    assert "client_events = true" in text


def test_an_event_name_is_not_endless(server: AppServer) -> None:
    sender, listener = pair(server, "private-a")
    longest = "client-".ljust(200, "x")
    sender.send(event=longest, channel="private-a", data="d")
    assert listener.receive()["event"] == longest
    text = refused(sender, listener, event=longest + "x", channel="private-a", data="d")
    assert text == "Invalid event name: 201 characters, but at most 200 are allowed"


@pytest.mark.documented("Client events", "Its name must begin with `client-`")
@pytest.mark.parametrize(
    "event", ["client", "Client-e", "client_e", " client-e", "pusher:client-e"]
)
def test_an_event_without_the_prefix_is_no_client_event(server: AppServer, event: str) -> None:
    sender, listener = pair(server, "private-a")
    text = refused(sender, listener, event=event, channel="private-a", data={})
    assert text == f"Unsupported event received on socket: {sender.socket_id} ({event!r})"


@pytest.mark.documented("Client events", "Its data has 10240 bytes at most")
@pytest.mark.parametrize("letter", ["x", "ü", "漢"])
def test_data_may_have_10240_bytes(server: AppServer, letter: str) -> None:
    sender, listener = pair(server, "private-a")
    width = len(letter.encode())
    exact = letter * (10240 // width) + "x" * (10240 % width)
    sender.send(event="client-e", channel="private-a", data=exact)
    assert listener.receive()["data"] == exact
    text = refused(sender, listener, event="client-e", channel="private-a", data=exact + "x")
    assert text == "The data content of this event exceeds the allowed maximum (10240 bytes)"


def test_an_object_is_measured_as_it_is_relayed(server: AppServer) -> None:
    sender, listener = pair(server, "private-a")
    fits = ["x" * (10240 - len('[""]'))]
    sender.send(event="client-e", channel="private-a", data=fits)
    assert json.loads(listener.receive()["data"]) == fits
    text = refused(sender, listener, event="client-e", channel="private-a", data=[fits[0] + "x"])
    assert text.startswith("The data content of this event exceeds")


def test_deep_nesting_is_a_mistake_like_any_other(server: AppServer) -> None:
    sender, listener = pair(server, "private-a")
    for depth in (300, 1000, 30_000):
        nested = "[" * depth + "]" * depth
        sender.send_text(f'{{"event":"client-e","channel":"private-a","data":{nested}}}')
        assert sender.error().startswith("Invalid ")
    for client in (sender, listener):
        client.quiet()


# The rate. The clock stands still, so that a slow machine does not make another second of it.


def send(client: Client, count: int, channel: str = "private-a") -> None:
    for number in range(count):
        client.send(event="client-e", channel=channel, data=str(number))


def over_the_rate(client: Client) -> None:
    """Receive the error that a client event too many is answered with."""
    text = "Client event rate limit exceeded: at most 10 events per second for a connection"
    answer = {"event": "pusher:error", "data": {"code": 4301, "message": text}}
    assert client.receive() == answer


def test_ten_in_a_second_are_relayed_and_the_connection_outlives_more(server: AppServer) -> None:
    server.hold_time(50.0)
    sender, listener = pair(server, "private-a")
    send(sender, LIMIT + 3)
    for _ in range(3):
        over_the_rate(sender)
    assert [listener.receive()["data"] for _ in range(LIMIT)] == [str(n) for n in range(LIMIT)]
    listener.quiet()
    # It still hears and subscribes, and the others are not held to its rate.
    send(listener, 1)
    assert sender.receive()["event"] == "client-e"
    sender.subscribe("private-b")


def test_a_second_later_the_same_connection_is_heard_again(server: AppServer) -> None:
    server.hold_time(50.0)
    sender, listener = pair(server, "private-a")
    send(sender, LIMIT + 1)
    over_the_rate(sender)
    server.hold_time(50.99)
    send(sender, 1)
    over_the_rate(sender)
    server.hold_time(51.0)
    send(sender, LIMIT + 1)
    over_the_rate(sender)
    sender.quiet()
    assert [listener.receive()["event"] for _ in range(2 * LIMIT)] == ["client-e"] * 2 * LIMIT
    listener.quiet()


def test_the_rate_counts_all_channels_of_a_connection(server: AppServer) -> None:
    server.hold_time(50.0)
    sender, _ = pair(server, "private-a")
    sender.subscribe("private-b")
    send(sender, LIMIT - 1, "private-a")
    send(sender, 1, "private-b")
    sender.quiet()
    send(sender, 1, "private-b")
    over_the_rate(sender)


def test_what_was_refused_does_not_count(server: AppServer) -> None:
    server.hold_time(50.0)
    sender, listener = pair(server, "private-a")
    for _ in range(LIMIT):
        sender.send(event="client-e", channel="private-none", data="d")
        assert sender.error().startswith("Cannot broadcast client event")
    send(sender, LIMIT)
    sender.quiet()
    assert [listener.receive()["event"] for _ in range(LIMIT)] == ["client-e"] * LIMIT


def test_an_app_may_have_a_rate_of_its_own() -> None:
    with AppServer(app(max_client_events_per_second=1)) as server:
        server.hold_time(50.0)
        sender, listener = pair(server, "private-a")
        send(sender, 2)
        error = sender.receive()["data"]
        assert error["code"] == 4301
        assert "at most 1 events per second" in error["message"]
        assert listener.receive()["data"] == "0"
        listener.quiet()
