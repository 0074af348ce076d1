"""A signed-in user is a member of presence channels without ``channel_data``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.pusher_client import hmac_hex
from support.pusher_service import Service

documented = pytest.mark.documented

CHANNEL = "presence-c"
ANN = {"name": "Ann", "roles": ["any", "JSON"]}


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@documented("Presence channels", "Without `channel_data` the member is the signed-in user")
@pytest.mark.parametrize("channel", [CHANNEL, "presence-cache-c"])
def test_the_signed_in_user_is_the_member(service: Service, channel: str) -> None:
    client, witness = service.client(), service.client()
    witness.enter(channel, "bob")
    if "cache" in channel:
        assert witness.receive()["event"] == "pusher:cache_miss"
    client.sign_in("ann", user_info=ANN, watchlist=[])
    assert client.enter(channel) == {
        "ids": ["bob", "ann"],
        "hash": {"bob": None, "ann": ANN},
        "count": 2,
    }
    assert witness.data_of("pusher_internal:member_added", channel) == {
        "user_id": "ann",
        "user_info": ANN,
    }
    assert service.get(f"channels/{channel}/users").ok() == {
        "users": [{"id": "bob"}, {"id": "ann"}]
    }
    client.close()
    assert witness.data_of("pusher_internal:member_removed", channel) == {"user_id": "ann"}


@documented("Presence channels", "Then the signature is over `SOCKET:CHANNEL`")
def test_without_channel_data_the_string_is_that_of_a_private_channel(service: Service) -> None:
    client = service.client()
    client.sign_in("ann")
    signature = hmac_hex("secret-1", f"{client.socket_id}:{CHANNEL}")
    data = {"channel": CHANNEL, "auth": f"key-1:{signature}"}
    client.send(event="pusher:subscribe", data=data)
    client.data_of("pusher_internal:subscription_succeeded", CHANNEL)
    other = service.client()
    other.sign_in("ann")
    other.ask(CHANNEL, auth=other.sign(CHANNEL, '{"user_id":"ann"}'))
    assert other.error().startswith("Invalid signature: ")


@documented("Presence channels", "`channel_data` wins over the signed-in user")
def test_channel_data_wins(service: Service) -> None:
    client = service.client()
    client.sign_in("ann", user_info=ANN)
    assert client.enter(CHANNEL, "bob", user_info={"name": "Bob"}) == {
        "ids": ["bob"],
        "hash": {"bob": {"name": "Bob"}},
        "count": 1,
    }


@documented("Presence channels", "One who has neither is refused")
def test_one_who_is_not_signed_in_needs_channel_data(service: Service) -> None:
    client = service.client()
    client.ask(CHANNEL)
    assert client.error() == (
        "Missing parameter: channel_data is required to subscribe to presence-c "
        '(a JSON string with "user_id")'
    )
    client.sign_in("ann")
    assert client.enter(CHANNEL)["ids"] == ["ann"]


@documented("Presence channels", "A client event carries the id of the member, however it joined")
def test_client_events_carry_the_users_id(service: Service) -> None:
    ann, bob = service.client(), service.client()
    ann.sign_in("ann")
    ann.enter(CHANNEL)
    bob.enter(CHANNEL, "bob")
    assert ann.data_of("pusher_internal:member_added", CHANNEL) == {"user_id": "bob"}
    ann.send(event="client-e", channel=CHANNEL, data="d")
    assert bob.receive() == {"event": "client-e", "channel": CHANNEL, "data": "d", "user_id": "ann"}


def test_a_user_is_one_member_by_either_way(service: Service) -> None:
    """The first connection's info stays."""
    signed_in, named = service.client(), service.client()
    signed_in.sign_in("ann", user_info=ANN)
    signed_in.enter(CHANNEL)
    assert named.enter(CHANNEL, "ann", user_info="other") == {
        "ids": ["ann"],
        "hash": {"ann": ANN},
        "count": 1,
    }
    signed_in.quiet()


@documented("Presence channels", "A member's user object may have 1 KB, however it joined")
@pytest.mark.parametrize("signed_in", [True, False])
def test_a_member_may_have_one_kilobyte(service: Service, signed_in: bool) -> None:
    def join(channel: str, length: int) -> bool:
        client, info = service.client(), "ü" * length
        if signed_in:
            client.sign_in("ann", user_info=info)
            client.ask(channel)
        else:
            client.ask(channel, f'{{"user_id":"ann","user_info":"{info}"}}')
        message = client.receive()
        assert message["event"] == "pusher:error" or message["channel"] == channel
        if message["event"] == "pusher:error":
            assert "larger than the 1024 bytes allowed" in message["data"]["message"]
            client.quiet()
        return bool(message["event"] != "pusher:error")

    assert join(CHANNEL, 495)
    assert not join(CHANNEL, 513)
