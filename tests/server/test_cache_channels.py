"""Cache channels: who subscribes hears the last event first, or that there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.pusher_client import Client, app, member_json, other_app, succeeded
from support.pusher_service import Service

documented = pytest.mark.documented

PREFIXES = ("cache-", "private-cache-", "private-encrypted-cache-", "presence-cache-")
PLAIN = PREFIXES[:3]
HALF_AN_HOUR = 30 * 60


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(app(), other_app(subscription_count_events=True)) as service:
        yield service


def join(client: Client, channel: str) -> None:
    """Subscribe by any prefix, and read the answer but nothing behind it."""
    if channel.startswith("presence-"):
        client.enter(channel, "ann")
    else:
        client.subscribe(channel)


def missed(channel: str) -> str:
    return f'{{"event":"pusher:cache_miss","channel":"{channel}","data":"{{}}"}}'


def finds(service: Service, channel: str) -> str | None:
    """Return the data of the event that a new subscriber finds, None at a miss."""
    client = service.client()
    join(client, channel)
    message = client.receive()
    client.close()
    if message["event"] == "pusher:cache_miss":
        return None
    data: str = message["data"]
    return data


# What a newcomer hears


@documented("Cache channels", "A subscriber hears the channel's last event, exactly as it was")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_newcomer_hears_the_last_event_as_it_was(service: Service, prefix: str) -> None:
    channel, data = prefix + "c", '{"text": "say \\"ä\\" 漢 😀", "n": 1.0}'
    witness = service.client()
    join(witness, channel)
    assert witness.receive_text() == missed(channel)
    service.trigger(channel, "first", "old")
    witness.hears("first", channel, "old")
    service.trigger(channel, "App\\Events\\Said", data)
    last = witness.receive_text()
    newcomer = service.client()
    join(newcomer, channel)
    assert newcomer.receive_text() == last
    newcomer.quiet()


@documented("Cache channels", "Without a last event a subscriber hears `pusher:cache_miss`")
@pytest.mark.parametrize("prefix", PLAIN)
def test_a_newcomer_to_an_empty_channel_hears_of_it(service: Service, prefix: str) -> None:
    channel, client = prefix + "c", service.client()
    client.ask(channel)
    assert [client.receive_text() for _ in range(2)] == [succeeded(channel), missed(channel)]


@documented("Cache channels", "The last event or the miss comes right behind the success")
@pytest.mark.parametrize("full", [True, False], ids=["hit", "miss"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_nothing_comes_between(service: Service, prefix: str, full: bool) -> None:
    channel, counting = prefix + "c", service.apps[1]
    client = service.client(counting)
    if full:
        body = {"name": "e", "channel": channel, "data": "d"}
        assert service.post("events", body, counting).ok() == {}
    presence = prefix.startswith("presence-")
    client.ask(channel, member_json("ann") if presence else None)
    heard = [client.receive()["event"] for _ in range(2 if presence else 3)]
    assert (
        heard
        == [
            "pusher_internal:subscription_succeeded",
            "e" if full else "pusher:cache_miss",
            "pusher_internal:subscription_count",
        ][: len(heard)]
    )
    client.quiet()


@documented("Cache channels", "Only the names that begin with a cache prefix have a last event")
@pytest.mark.parametrize("channel", ["c", "my-cache-c", "private-c", "private-my-cache-c", "cache"])
def test_other_channels_remember_nothing(service: Service, channel: str) -> None:
    service.trigger(channel)
    client = service.client()
    client.subscribe(channel)
    client.quiet()


# What is remembered


@documented("Cache channels", "Events of batches and of the deprecated endpoint are remembered too")
@pytest.mark.parametrize("prefix", PLAIN)
def test_every_way_to_trigger_is_remembered(service: Service, prefix: str) -> None:
    one, two = prefix + "1", prefix + "2"
    batch = [{"name": "e", "data": data, "channel": one} for data in ("first", "second")]
    assert service.post("batch_events", {"batch": batch}).ok() == {}
    assert service.post(f"channels/{two}/events", b"raw", name="e").status == 202
    several = {"name": "e", "data": "several", "channels": [one + "-a", one + "-b"]}
    assert service.post("events", several).ok() == {}
    assert [finds(service, channel) for channel in (one, two, one + "-a", one + "-b")] == [
        "second",
        "raw",
        "several",
        "several",
    ]


@documented(
    "Cache channels", "An event that leaves one connection out is remembered like any other"
)
@pytest.mark.parametrize("prefix", PLAIN)
def test_exclusion_does_not_keep_an_event_from_being_remembered(
    service: Service, prefix: str
) -> None:
    channel, sender = prefix + "c", service.client()
    service.trigger(channel, data="old")
    service.trigger(channel, data="new", socket_id=sender.socket_id)
    # Even for the one who was left out: it was not subscribed then.
    sender.subscribe(channel)
    sender.hears("e", channel, "new")
    assert finds(service, channel) == "new"


@documented("Cache channels", "Client events are relayed and not remembered")
@pytest.mark.parametrize("prefix", PREFIXES[1:])
def test_client_events_are_not_remembered(service: Service, prefix: str) -> None:
    channel, sender, listener = prefix + "c", service.client(), service.client()
    service.trigger(channel, data="of the app")
    for client in (sender, listener):
        join(client, channel)
        assert client.receive()["data"] == "of the app"
    sender.send(event="client-e", channel=channel, data="of a client")
    if prefix.startswith("presence-"):
        assert listener.receive()["user_id"] == "ann"
    else:
        listener.hears("client-e", channel, "of a client")
    assert finds(service, channel) == "of the app"


@documented("Cache channels", "What the server itself says in a channel is not remembered")
def test_the_servers_own_events_are_not_remembered(service: Service) -> None:
    counting = service.apps[1]
    for user in ("ann", "bob", "eve"):
        member, subscriber = service.client(counting), service.client(counting)
        member.enter("presence-cache-c", user)
        assert member.receive_text() == missed("presence-cache-c")
        subscriber.subscribe("cache-c")
        assert subscriber.receive_text() == missed("cache-c")


@documented("Cache channels", "The last event outlives the channel's subscribers")
def test_the_last_event_outlives_the_subscribers(service: Service) -> None:
    service.trigger("cache-c")
    for _ in range(2):
        assert finds(service, "cache-c") == "d"
    assert service.get("channels/cache-c").ok() == {"occupied": False}


def test_apps_do_not_hear_one_anothers_last_events(service: Service) -> None:
    service.trigger("cache-c")
    client = service.client(service.apps[1])
    client.subscribe("cache-c")
    assert client.receive_text() == missed("cache-c")


# For how long


@documented("Cache channels", "The last event is kept for 30 minutes, or until the next")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_last_event_is_kept_for_thirty_minutes(service: Service, prefix: str) -> None:
    channel = prefix + "c"
    service.trigger(channel, data="old")
    service.skip(HALF_AN_HOUR - 60)
    assert finds(service, channel) == "old"
    service.trigger(channel, data="new")
    service.skip(HALF_AN_HOUR - 60)
    assert finds(service, channel) == "new"
    service.skip(60)
    assert finds(service, channel) is None


# What the API says of it


@documented(
    "HTTP API", "`info=cache` of a channel answers its last event's data and seconds to live"
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_api_shows_the_last_event(service: Service, prefix: str) -> None:
    path, data = f"channels/{prefix}c", '{"price":1}'
    assert service.get(path, info="cache").ok() == {"occupied": False, "cache": None}
    service.trigger(prefix + "c", data=data)
    service.skip(60)
    answer = service.get(path, info="cache").ok()
    assert answer["cache"]["data"] == data
    assert HALF_AN_HOUR - 90 < answer["cache"]["ttl"] <= HALF_AN_HOUR - 60
    service.skip(HALF_AN_HOUR)
    assert service.get(path, info="cache,subscription_count").ok() == {
        "occupied": False,
        "cache": None,
        "subscription_count": 0,
    }


@documented("HTTP API", "`info=cache` of a channel without a cache is refused with 400")
@pytest.mark.parametrize("channel", ["c", "my-cache-c", "private-c", "presence-c"])
def test_the_api_has_no_last_event_of_other_channels(service: Service, channel: str) -> None:
    text = service.get(f"channels/{channel}", info="cache").refusal(400)
    assert text == "Cannot retrieve the cache unless the channel is a cache channel"
    assert "info should be a comma separated list of attributes" in (
        service.get("channels", info="cache").refusal(400)
    )
