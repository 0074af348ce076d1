"""Subscribing and unsubscribing: what is answered, and that a mistake costs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from support.app_server import AppServer, app


@pytest.fixture
def server() -> Iterator[AppServer]:
    with AppServer(app()) as server:
        yield server


# Socket ids


@pytest.mark.documented(
    "Connection", "A socket id is two numbers with a dot, and one client's alone"
)
def test_socket_ids_are_two_numbers_and_nobodys_but_one_clients(server: AppServer) -> None:
    ids = [server.client().socket_id for _ in range(30)]
    for socket_id in ids:
        assert re.fullmatch(r"\d+\.\d+", socket_id), socket_id
    assert len(set(ids)) == 30


def test_a_socket_id_does_not_say_what_the_next_one_is(server: AppServer) -> None:
    """Whoever could guess one could be left out of, or sign for, what is another's."""
    ids = [tuple(map(int, server.client().socket_id.split("."))) for _ in range(20)]
    for part in (0, 1):
        numbers = [socket_id[part] for socket_id in ids]
        steps = {after - before for before, after in pairwise(numbers)}
        # A counter has few different steps, and a random number in 10**9 practically never two
        # that are equal.
        assert len(steps) > 15
        assert numbers != sorted(numbers)
        assert max(numbers) > 1_000_000


# Subscribing


@pytest.mark.documented("Channels", "A public channel is open to all, without auth")
@pytest.mark.parametrize("channel", ["c", "a" * 164, "aZ09_-=@,.;", "my-private-c", "presence"])
def test_a_public_channel_is_open_to_all(server: AppServer, channel: str) -> None:
    client = server.client()
    client.ask(channel)
    assert client.receive_text() == (
        f'{{"event":"pusher_internal:subscription_succeeded","channel":"{channel}","data":"{{}}"}}'
    )
    client.quiet()


@pytest.mark.documented("Channels", "A public channel is open to all, without auth")
@pytest.mark.parametrize(
    "data",
    [
        {"channel": "c"},
        {"channel": "c", "auth": ""},
        {"channel": "c", "auth": None},
        {"channel": "c", "auth": "whatever", "channel_data": "whatever"},
        '{"channel": "c", "auth": ""}',
    ],
)
def test_a_public_channel_needs_no_auth_and_reads_none(server: AppServer, data: object) -> None:
    client = server.client()
    client.send(event="pusher:subscribe", data=data)
    assert client.receive()["data"] == "{}"
    server.trigger("c")
    assert client.receive() == {"event": "e", "channel": "c", "data": "d"}


@pytest.mark.documented(
    "Channels", "`subscription_succeeded` comes before any event, with the data `{}` to the letter"
)
def test_success_is_answered_before_any_event(server: AppServer) -> None:
    """The trigger races with the subscription: whichever is first, the order of answers holds."""
    for _ in range(20):
        client = server.client()
        client.ask("c")
        server.trigger("c")
        assert client.receive()["event"] == "pusher_internal:subscription_succeeded"
        assert client.quiet_but_for("e") <= 1


def test_messages_are_answered_in_the_order_they_were_sent(server: AppServer) -> None:
    client = server.client()
    for channel in ("a", "b", "a b", "c"):
        client.ask(channel)
    client.send(event="pusher:ping", data="")
    client.send(event="pusher:unsubscribe", data={"channel": "none"})
    events = [client.receive()["event"] for _ in range(6)]
    succeeded = "pusher_internal:subscription_succeeded"
    expected = [succeeded, succeeded, "pusher:error", succeeded, "pusher:pong", "pusher:error"]
    assert events == expected


@pytest.mark.documented(
    "Channels", "A second subscription to a channel is an error, and the first one stays"
)
def test_a_second_subscription_is_a_mistake_and_the_first_one_stays(server: AppServer) -> None:
    client = server.client()
    client.subscribe("c")
    client.ask("c")
    assert client.error() == "Existing subscription to channel c"
    assert server.get("channels/c", info="subscription_count").ok()["subscription_count"] == 1
    server.trigger("c")
    assert client.receive()["event"] == "e"
    client.quiet()


# Unsubscribing


@pytest.mark.documented("Channels", "Unsubscribing has no answer, and ends the events")
def test_after_unsubscribing_nothing_more_is_heard_and_nothing_is_answered(
    server: AppServer,
) -> None:
    client, other = server.client(), server.client()
    for each in (client, other):
        each.subscribe("a")
        each.subscribe("b")
    client.unsubscribe("a")
    server.trigger(["a", "b"])
    assert client.receive()["channel"] == "b"
    client.quiet()
    assert [other.receive()["channel"] for _ in range(2)] == ["a", "b"]


@pytest.mark.parametrize("data", [{"channel": "c"}, '{"channel":"c"}'])
def test_a_channel_may_be_subscribed_to_again(server: AppServer, data: object) -> None:
    client = server.client()
    client.subscribe("c")
    client.send(event="pusher:unsubscribe", data=data)
    client.subscribe("c")
    server.trigger("c")
    assert client.receive()["event"] == "e"
    client.quiet()


@pytest.mark.documented("Channels", "Unsubscribing from a channel that one is not in is an error")
@pytest.mark.parametrize("channel", ["c", "private-c", "", "a b", "#x"])
def test_unsubscribing_from_what_one_is_not_in_is_a_mistake(
    server: AppServer, channel: str
) -> None:
    client = server.client()
    client.send(event="pusher:unsubscribe", data={"channel": channel})
    assert client.error() == (
        f"No current subscription to channel {channel}, or subscription in progress"
    )
    client.quiet()


def test_a_second_unsubscription_is_a_mistake(server: AppServer) -> None:
    client = server.client()
    client.subscribe("c")
    client.unsubscribe("c")
    client.send(event="pusher:unsubscribe", data={"channel": "c"})
    assert client.error().startswith("No current subscription to channel c")


# Mistakes


@pytest.mark.documented(
    "Channels", "A name has ASCII letters, digits and `_-=@,.;`; any other is an error"
)
@pytest.mark.parametrize(
    ("channel", "text"),
    [
        ("", "Invalid channel name: it is empty"),
        ("a b", "Invalid channel name 'a b'"),
        ("a\n", "Invalid channel name 'a\\n'"),
        ("ä", "Invalid channel name 'ä'"),
        ("a/b", "Invalid channel name 'a/b'"),
        ("#c", "Invalid channel name '#c'"),
        ("#server-to-user-1", "Cannot subscribe to #server-to-user-1: sign in as that user first"),
        ("c" * 165, "Invalid channel name: 165 characters, but at most 164"),
        ("c" * 100_000, "Invalid channel name: 100000 characters, but at most 164"),
        (None, "Expected parameter data.channel to be a string, got null"),
        (1, "Expected parameter data.channel to be a string, got a number"),
        (["c"], "Expected parameter data.channel to be a string, got an array"),
        ({"name": "c"}, "Expected parameter data.channel to be a string, got an object"),
    ],
)
def test_what_is_no_channel_name_is_said_and_the_connection_stays(
    server: AppServer, channel: object, text: str
) -> None:
    client = server.client()
    client.ask(channel)
    assert client.error().startswith(text)
    client.subscribe("c")
    assert server.get("channels").ok() == {"channels": {"c": {}}}


@pytest.mark.parametrize("event", ["pusher:subscribe", "pusher:unsubscribe"])
@pytest.mark.parametrize("data", [None, "", "c", 1, [], True, "[]"])
def test_data_that_is_no_object_is_said_and_the_connection_stays(
    server: AppServer, event: str, data: object
) -> None:
    client = server.client()
    client.send(event=event, data=data)
    assert client.error() == "Expected parameter data to be a hash"
    client.send(event=event)
    assert client.error() == "Expected parameter data to be a hash"
    client.quiet()


@pytest.mark.parametrize("event", ["pusher:subscribe", "pusher:unsubscribe"])
def test_a_missing_channel_is_named(server: AppServer, event: str) -> None:
    client = server.client()
    client.send(event=event, data={})
    assert client.error() == "Missing parameter: data.channel"
    client.quiet()


@pytest.mark.documented(
    "Connection", "An event that clients do not send is refused and never relayed"
)
@pytest.mark.parametrize(
    "event",
    [
        "pusher:nonsense",
        "pusher:error",
        "pusher:connection_established",
        "pusher:cache_miss",
        "pusher_internal:subscription_succeeded",
        "pusher_internal:member_added",
        "Client-e",
        "clientevent",
        "e",
        "",
    ],
)
def test_an_event_that_clients_do_not_send_is_refused_and_never_relayed(
    server: AppServer, event: str
) -> None:
    sender, listener = server.client(), server.client()
    for client in (sender, listener):
        client.subscribe("private-c")
    sender.send(event=event, channel="private-c", data={"user_id": "x"})
    expected = f"Unsupported event received on socket: {sender.socket_id}"
    assert sender.error().startswith(expected)
    for client in (sender, listener):
        client.quiet()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "Invalid JSON"),
        ("hello", "Invalid JSON"),
        ("[" * 50_000, "Invalid JSON"),
        ("[]", "Expected a JSON object with an event, got an array"),
        ('{"data":{}}', "Expected parameter event to be a string, got nothing"),
        ('{"event":7}', "Expected parameter event to be a string, got a number"),
        ('{"event":"pusher:ping","channel":7}', "Expected parameter channel to be a string"),
    ],
)
def test_rubbish_is_answered_and_the_connection_stays(
    server: AppServer, text: str, answer: str
) -> None:
    client = server.client()
    client.subscribe("c")
    client.send_text(text)
    assert client.error().startswith(answer)
    server.trigger("c")
    assert client.receive()["event"] == "e"


@pytest.mark.documented("Connection", "A ping is answered at any time, also as the first message")
@pytest.mark.parametrize(
    "ping", ['{"event":"pusher:ping","data":{}}', '{"event":"pusher:ping","data":""}']
)
def test_a_ping_is_answered_at_any_time_even_first(server: AppServer, ping: str) -> None:
    client = server.client()
    client.send_text(ping)
    assert client.receive_text() == '{"event":"pusher:pong","data":"{}"}'
    client.send_text('{"event":"pusher:pong"}')
    client.send_text('{"event":"pusher:ping"}')
    assert client.receive_text() == '{"event":"pusher:pong","data":"{}"}'


# Leaving


@pytest.mark.parametrize("how", ["close", "cut"])
def test_whoever_leaves_is_in_no_channel_any_more(server: AppServer, how: str) -> None:
    leaving, staying = server.client(), server.client()
    for client in (leaving, staying):
        client.subscribe("c")
    leaving.enter("presence-fence", "leaving")
    staying.enter("presence-fence", "staying")
    assert leaving.receive()["event"] == "pusher_internal:member_added"
    leaving.close() if how == "close" else leaving.cut()
    # The server has noticed when the others hear of it.
    assert staying.receive()["event"] == "pusher_internal:member_removed"
    assert server.get("channels/c", info="subscription_count").ok()["subscription_count"] == 1
    server.trigger("c")
    assert staying.receive()["event"] == "e"
    staying.quiet()


def test_a_frame_larger_than_the_shortest_form_arrives_whole(server: AppServer) -> None:
    """Both other forms of a frame's length, in and out."""
    client = server.client()
    client.subscribe("c")
    client.send(event="pusher:ping", data={"x": "x" * 70_000})
    assert client.receive()["event"] == "pusher:pong"
    for size in (100, 200, 10_000):
        server.trigger("c", data="x" * size)
        assert client.receive()["data"] == "x" * size
