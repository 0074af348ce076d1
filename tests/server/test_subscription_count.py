"""``subscription_count``: subscribers are told how many they are, if the app wants it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.pusher_client import Client, app, other_app
from support.pusher_service import Service

documented = pytest.mark.documented

EVENT = "pusher_internal:subscription_count"


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(app(subscription_count_events=True), other_app()) as service:
        yield service


def counted(client: Client, channel: str = "c") -> int:
    """Return the number that the next frame tells."""
    data = client.data_of(EVENT, channel)
    assert data.keys() == {"subscription_count"}
    count: int = data["subscription_count"]
    return count


# Who is told


@documented("Subscription count", "It is off unless the app turns it on")
@pytest.mark.parametrize("channel", ["c", "private-c", "cache-c"])
def test_it_is_off_by_default(service: Service, channel: str) -> None:
    for _ in range(2):
        client = service.client(service.apps[1])
        client.subscribe(channel)
        if channel == "cache-c":
            client.receive()
        client.quiet()


@documented("Subscription count", "It goes to all subscribers at each change, the newcomer too")
@pytest.mark.parametrize("channel", ["c", "private-c", "private-encrypted-c"])
def test_all_are_told_and_the_newcomer_behind_its_success(service: Service, channel: str) -> None:
    clients: list[Client] = []
    for number in (1, 2, 3):
        clients.append(service.client())
        clients[-1].subscribe(channel)
        assert [counted(client, channel) for client in clients] == [number] * number
    clients[0].unsubscribe(channel)
    assert [counted(client, channel) for client in clients[1:]] == [2, 2]
    clients[1].close()
    assert counted(clients[2], channel) == 1
    for client in (clients[0], clients[2]):
        client.quiet()


@documented("Subscription count", "The frame's data is a JSON string with `subscription_count`")
def test_the_frame_is_the_documented_one(service: Service) -> None:
    client = service.client()
    client.subscribe("c")
    assert client.receive_text() == (
        '{"event":"pusher_internal:subscription_count","channel":"c",'
        '"data":"{\\"subscription_count\\":1}"}'
    )


@documented("Subscription count", "It is not sent on presence channels, where members are told")
@pytest.mark.parametrize("channel", ["presence-c", "presence-cache-c"])
def test_presence_channels_have_none(service: Service, channel: str) -> None:
    ann, bob = service.client(), service.client()
    for client, user in ((ann, "ann"), (bob, "bob")):
        client.enter(channel, user)
        if "cache" in channel:
            assert client.receive()["event"] == "pusher:cache_miss"
    assert ann.data_of("pusher_internal:member_added", channel) == {"user_id": "bob"}
    for client in (ann, bob):
        client.quiet()


def test_the_subscribers_of_other_channels_and_apps_are_not_told(service: Service) -> None:
    other, stranger = service.client(), service.client(service.apps[1])
    other.subscribe("d")
    assert counted(other, "d") == 1
    stranger.subscribe("c")
    service.client().subscribe("c")
    for client in (other, stranger):
        client.quiet()


def test_a_refused_subscription_counts_for_nothing(service: Service) -> None:
    client, witness = service.client(), service.client()
    witness.subscribe("private-c")
    assert counted(witness, "private-c") == 1
    client.ask("private-c", auth="")
    assert client.error()
    client.quiet()
    witness.quiet()


# Large channels


class Crowd:
    """A hundred subscribers of a channel, one of whom is the witness that reads."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.witness = service.client()
        self.witness.subscribe("c")
        self._others: list[Client] = []
        self.grow(99)
        #: What the witness was told while the channel grew.
        self.counts = [counted(self.witness) for _ in range(100)]

    def grow(self, by: int) -> None:
        for _ in range(by):
            self._others.append(self.service.client())
            self._others[-1].subscribe("c")

    def shrink(self, by: int) -> None:
        for _ in range(by):
            client = self._others.pop()
            client.unsubscribe("c")
            drain(client)

    def settle(self) -> None:
        """Be a hundred again, with nothing left to be told."""
        surplus = len(self._others) - 99
        self.shrink(surplus)
        self.grow(-surplus)
        self.service.skip(6)
        drain(self.witness)


def drain(client: Client) -> None:
    """Read what was sent up to now, when all that was asked before is done."""
    client.send(event="pusher:ping")
    while client.receive()["event"] != "pusher:pong":
        pass


@pytest.fixture(scope="module")
def large_channel() -> Iterator[Crowd]:
    with Service(app(subscription_count_events=True)) as service:
        service.hold_time()
        yield Crowd(service)


@pytest.fixture
def crowd(large_channel: Crowd) -> Crowd:
    large_channel.settle()
    return large_channel


@documented("Subscription count", "Up to 100 subscribers every change is told")
def test_up_to_a_hundred_every_change_is_told(crowd: Crowd) -> None:
    assert crowd.counts == list(range(1, 101))
    crowd.shrink(2)
    crowd.grow(1)
    assert [counted(crowd.witness) for _ in range(3)] == [99, 98, 99]
    crowd.witness.quiet()


@documented("Subscription count", "Above 100 subscribers it comes every 5 seconds at most")
def test_above_a_hundred_it_comes_every_five_seconds(crowd: Crowd) -> None:
    crowd.grow(4)
    # The first goes at once, the last when the time has passed.
    assert counted(crowd.witness) == 101
    crowd.witness.quiet()
    crowd.service.skip(4)
    crowd.witness.quiet()
    crowd.service.skip(2)
    assert counted(crowd.witness) == 104
    # And then the pause begins anew.
    crowd.grow(1)
    crowd.shrink(3)
    crowd.witness.quiet()
    crowd.service.skip(6)
    assert counted(crowd.witness) == 102
    crowd.witness.quiet()


@documented("Subscription count", "Without activity a large channel hears nothing")
def test_without_activity_nothing_is_told(crowd: Crowd) -> None:
    crowd.grow(1)
    assert counted(crowd.witness) == 101
    for _ in range(3):
        crowd.service.skip(6)
        crowd.witness.quiet()
    crowd.grow(1)
    assert counted(crowd.witness) == 102


def test_a_channel_that_is_no_longer_large_is_told_at_once(crowd: Crowd) -> None:
    crowd.grow(2)
    assert counted(crowd.witness) == 101
    crowd.shrink(2)
    assert counted(crowd.witness) == 100
    # What waited is out of date.
    crowd.service.skip(6)
    crowd.witness.quiet()


# The API


@documented("HTTP API", "`info=subscription_count` counts connections, `user_count` distinct users")
def test_info_counts_connections(service: Service) -> None:
    for _ in range(2):
        service.client().subscribe("c")
        service.client().enter("presence-c", "ann")
    assert service.get("channels/c", info="subscription_count").ok() == {
        "occupied": True,
        "subscription_count": 2,
    }
    both = "user_count,subscription_count"
    counts = {"user_count": 1, "subscription_count": 2}
    assert service.get("channels/presence-c", info=both).ok() == {"occupied": True, **counts}
    body = {"name": "e", "channels": ["presence-c", "c"], "data": "d", "info": both}
    assert service.post("events", body).ok() == {
        "channels": {"presence-c": counts, "c": {"subscription_count": 2}}
    }
