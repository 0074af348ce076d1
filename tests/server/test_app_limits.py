"""The limits of an app: hosted Pusher's by default, and what the app's settings say otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callboard_server.clock import SystemClock
from support.pusher_client import Client, app, other_app, succeeded
from support.pusher_service import Service

documented = pytest.mark.documented


def limited(**limits: Any) -> Service:
    """Return a service whose first app has these limits, and whose second has none of its own."""
    return Service(app(**limits), other_app())


def event(**changes: Any) -> dict[str, Any]:
    return {"name": "e", "channel": "c", "data": "d", **changes}


# Connections


@documented("Limits", "Connections beyond `max_connections` are closed with 4004")
def test_one_connection_too_many_is_refused() -> None:
    with limited(max_connections=2) as service:
        first, _ = service.client(), service.client()
        for _ in range(2):
            assert "max_connections" in service.refused(4004)
        service.client(service.apps[1])
        first.close()
        service.client()
        service.refused(4004)


@documented(
    "Limits", "A disabled app's connections are closed with 4003, its API calls refused: 403"
)
def test_a_disabled_app_is_refused() -> None:
    with limited(enabled=False) as service:
        assert service.refused(4003) == "App is disabled"
        assert service.post("events", event()).refusal(403) == "App is disabled"
        assert service.get("channels").refusal(403) == "App is disabled"
        service.client(service.apps[1]).subscribe("c")


# Names


@documented("Limits", "A channel's name has 164 characters at most, prefix included")
@pytest.mark.parametrize("prefix", ["", "private-", "cache-", "presence-"])
@pytest.mark.parametrize("limit", [None, 20], ids=["default", "set"])
def test_the_length_of_channel_names(prefix: str, limit: int | None) -> None:
    length = limit or 164
    with limited(**({"max_channel_name_length": limit} if limit else {})) as service:
        client = service.client()
        right, wrong = prefix.ljust(length, "c"), prefix.ljust(length + 1, "c")
        client.ask(right, '{"user_id":"ann"}' if prefix == "presence-" else None)
        assert client.receive()["event"] == "pusher_internal:subscription_succeeded"
        text = f"Invalid channel name: {length + 1} characters, but at most {length} are allowed"
        other = service.client()
        other.ask(wrong)
        assert other.error().startswith(text)
        assert service.post("events", event(channel=right)).ok() == {}
        assert service.post("events", event(channel=wrong)).refusal(400).startswith(text)
        assert service.post(f"channels/{wrong}/events", b"", name="e").refusal(400).startswith(text)


@documented("Limits", "An event's name has 200 characters at most, also a client event's")
@pytest.mark.parametrize("limit", [None, 20], ids=["default", "set"])
def test_the_length_of_event_names(limit: int | None) -> None:
    length = limit or 200
    with limited(**({"max_event_name_length": limit} if limit else {})) as service:
        sender, listener = service.client(), service.client()
        for client in (sender, listener):
            client.subscribe("private-c")
        right, wrong = "client-".ljust(length, "e"), "client-".ljust(length + 1, "e")
        text = f"Invalid event name: {length + 1} characters, but at most {length} are allowed"
        sender.send(event=wrong, channel="private-c", data="d")
        assert sender.error() == text
        sender.send(event=right, channel="private-c", data="d")
        listener.hears(right, "private-c")
        assert service.post("events", event(name=right)).ok() == {}
        assert service.post("events", event(name=wrong)).refusal(400) == text
        batch = service.post("batch_events", {"batch": [event(), event(name=wrong)]})
        assert batch.refusal(400) == f"{text} (in batch[1])"


# Payloads


@documented("Limits", "An event's data has 10240 bytes at most, more is refused with 413")
@pytest.mark.parametrize("limit", [None, 1000], ids=["default", "set"])
@pytest.mark.parametrize("letter", ["x", "ü", "漢", "😀"])
def test_the_size_of_payloads(limit: int | None, letter: str) -> None:
    size = limit or 10240
    with limited(**({"max_event_payload_bytes": limit} if limit else {})) as service:
        listener = service.client()
        listener.subscribe("c")
        right = letter * (size // len(letter.encode()))
        assert service.post("events", event(data=right)).ok() == {}
        listener.hears("e", "c", right)
        text = f"The data content of this event exceeds the allowed maximum ({size} bytes). See "
        wrong = event(data=right + letter)
        assert service.post("events", wrong).refusal(413).startswith(text)
        assert service.post("batch_events", {"batch": [wrong]}).refusal(413).startswith(text)
        raw = service.post("channels/c/events", (right + letter).encode(), name="e")
        assert raw.refusal(413).startswith(text)
        listener.quiet()


# Channels of a connection


@documented("Limits", "A connection is in `max_channels_per_connection` channels at most, if set")
def test_the_channels_of_a_connection() -> None:
    with limited(max_channels_per_connection=3) as service:
        client, text = service.client(), "Over the limit of 3 channels for a connection"
        client.sign_in("ann")
        client.subscribe("c", "private-c", "#server-to-user-ann")
        for channel in ("d", "private-d"):
            client.ask(channel)
            assert client.error().startswith(text)
        # A second subscription is the older mistake.
        client.ask("c")
        assert client.error() == "Existing subscription to channel c"
        client.unsubscribe("c")
        client.subscribe("d")
        service.client().subscribe("d", "e")


@documented("Limits", "Without that setting the number of channels is not limited")
def test_by_default_a_connection_may_be_in_many_channels() -> None:
    with limited() as service:
        client = service.client()
        client.subscribe(*(f"c-{number}" for number in range(300)))


@documented("Limits", "A presence channel has 100 members at most, or as the app sets")
def test_the_members_of_a_presence_channel() -> None:
    with limited(max_presence_members=2) as service:
        for user in ("ann", "bob", "ann"):
            service.client().enter("presence-c", user)
        client = service.client()
        client.sign_in("eve")
        client.ask("presence-c")
        assert client.error() == (
            "Presence channel presence-c is full: it has reached its limit of 2 members"
        )
        client.enter("presence-d")


# Rates


class Clock:
    """The time of day, which stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = SystemClock().now() // 1
        monkeypatch.setattr(SystemClock, "now", lambda _: self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.deviation("rate of API events")
@documented("Limits", "More API events a second than the app may send: 429 with `Retry-After`")
def test_the_rate_of_api_events(clock: Clock) -> None:
    with limited(max_backend_events_per_second=5) as service:
        listener = service.client()
        listener.subscribe("c")
        for second in range(3):
            clock.seconds += 1
            service.trigger("c", f"{second}-a")
            # A batch counts as its events, and is taken as a whole or not at all.
            names = [f"{second}-{letter}" for letter in "bcd"]
            batch = [event(name=name) for name in names]
            assert service.post("batch_events", {"batch": batch}).ok() == {}
            refused = service.post("batch_events", {"batch": batch[:2]})
            assert refused.headers["retry-after"] == "1"
            assert refused.refusal(429) == "Over the limit of 5 events per second of this app"
            assert service.post("channels/c/events", b"d", name=f"{second}-e").status == 202
            for answer in (
                service.post("events", event()),
                service.post("channels/c/events", b"d", name="e"),
            ):
                assert answer.headers["retry-after"] == "1"
                assert answer.refusal(429)
            for letter in "abcde":
                listener.hears(f"{second}-{letter}", "c")
            listener.quiet()


def test_other_calls_and_other_apps_have_no_such_rate(clock: Clock) -> None:
    with limited(max_backend_events_per_second=1) as service:
        service.trigger("c")
        service.post("events", event()).refusal(429)
        for _ in range(3):
            assert service.get("channels").ok() == {"channels": {}}
            assert service.post("users/ann/terminate_connections", {}).ok() == {}
            assert service.post("events", event(), service.apps[1]).ok() == {}


def test_what_was_refused_for_itself_does_not_count(clock: Clock) -> None:
    with limited(max_backend_events_per_second=1) as service:
        for _ in range(3):
            service.post("events", event(channel="a b")).refusal(400)
        service.trigger("c")


def send(client: Client, name: str) -> None:
    client.send(event=f"client-{name}", channel="private-c", data="d")


@documented("Limits", "More than 10 client events a second of a connection: error 4301, it stays")
@pytest.mark.parametrize("limit", [None, 3], ids=["default", "set"])
def test_the_rate_of_client_events(limit: int | None) -> None:
    rate = limit or 10
    with limited(**({"max_client_events_per_second": limit} if limit else {})) as service:
        sender, listener, other = (service.client() for _ in range(3))
        for client in (sender, listener, other):
            client.subscribe("private-c")
        service.hold_time()
        for _ in range(2):
            for number in range(rate):
                send(sender, str(number))
                listener.hears(f"client-{number}", "private-c")
            for _ in range(2):
                send(sender, "more")
                text = f"at most {rate} events per second for a connection"
                assert text in sender.error(4301)
            # Another connection has a rate of its own.
            send(other, "other")
            listener.hears("client-other", "private-c")
            sender.hears("client-other", "private-c")
            listener.quiet()
            while other.receive()["event"] != f"client-{rate - 1}":
                pass
            service.skip(1)


@documented("Client events", "They are off unless the app turns them on")
def test_client_events_are_off_by_default() -> None:
    with limited(client_events=False) as service:
        client = service.client()
        client.subscribe("private-c")
        send(client, "e")
        assert client.error().startswith("To send client events, you must enable this feature")


def test_limits_do_not_keep_the_server_from_speaking() -> None:
    """They are for those who subscribe and publish, not for what the protocol itself sends."""
    with limited(max_event_name_length=1, max_event_payload_bytes=1) as service:
        client = service.client()
        client.ask("private-c")
        assert client.receive_text() == succeeded("private-c")
        client.sign_in("ann", user_info={"name": "Ann"})
        assert json.dumps(client.enter("presence-c"))
