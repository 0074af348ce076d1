"""What the beginning of a channel's name promises, and what the server cannot read."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from support.pusher_client import succeeded
from support.pusher_service import Service

documented = pytest.mark.documented

#: What an encrypting server library sends as data: ciphertext and nonce, both in base64.
SECRET_BOX = json.dumps({"nonce": "bm9uY2U=", "ciphertext": "Y2lwaGVydGV4dA=="}, indent=1)


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        yield service


@documented("Channels", "A prefix counts at the start of a name only; any other name is public")
@pytest.mark.parametrize(
    "channel",
    [
        "private",
        "Private-c",
        "my-private-c",
        "_private-c",
        "presence_c",
        "my-presence-c",
        "=@,.;-_",
    ],
)
def test_a_name_without_a_prefix_is_public(service: Service, channel: str) -> None:
    client = service.client()
    client.subscribe(channel)
    service.trigger(channel)
    client.hears("e", channel)
    assert "user_count" not in service.get(f"channels/{channel}", info="subscription_count").ok()
    assert service.get(f"channels/{channel}", info="user_count").refusal(400)


@documented(
    "Channels", "Every private prefix demands a signature, also the encrypted and cached ones"
)
@pytest.mark.parametrize(
    "prefix",
    [
        "private-",
        "private-encrypted-",
        "private-cache-",
        "private-encrypted-cache-",
        "presence-",
        "presence-cache-",
    ],
)
def test_a_private_prefix_demands_a_signature(service: Service, prefix: str) -> None:
    channel, client = prefix + "c", service.client()
    client.ask(channel, auth="")
    assert client.error() == f"Auth info required to subscribe to {channel}"
    client.ask(channel, auth=client.sign(prefix + "d"))
    assert client.error().startswith(
        f"Invalid signature: Expected HMAC SHA256 hex digest of {client.socket_id}:{channel}, "
    )
    assert service.get("channels").ok() == {"channels": {}}


@documented("Encrypted channels", "The signature is that of a private channel; the key is not sent")
@pytest.mark.parametrize("prefix", ["private-encrypted-", "private-encrypted-cache-"])
def test_an_encrypted_channel_is_subscribed_to_as_a_private_one(
    service: Service, prefix: str
) -> None:
    channel, client = prefix + "c", service.client()
    # Java's clients decrypt whatever is not exactly these two characters.
    client.ask(channel, shared_secret="c2VjcmV0")
    assert client.receive_text() == succeeded(channel)


@documented("Encrypted channels", "Event data is relayed to the byte and never read")
@pytest.mark.parametrize("prefix", ["private-encrypted-", "private-encrypted-cache-"])
@pytest.mark.parametrize("data", [SECRET_BOX, "not even JSON", ""], ids=["box", "text", "empty"])
def test_encrypted_data_is_relayed_as_it_is(service: Service, prefix: str, data: str) -> None:
    channel, client = prefix + "c", service.client()
    client.ask(channel)
    client.receive()
    if "cache-" in prefix:
        assert client.receive()["event"] == "pusher:cache_miss"
    service.trigger(channel, data=data)
    client.hears("e", channel, data)


@documented("Encrypted channels", "Client events are allowed there as the protocol has it")
def test_client_events_pass_on_encrypted_channels(service: Service) -> None:
    sender, listener = service.client(), service.client()
    for client in (sender, listener):
        client.subscribe("private-encrypted-c")
    sender.send(event="client-e", channel="private-encrypted-c", data=SECRET_BOX)
    listener.hears("client-e", "private-encrypted-c", SECRET_BOX)
    sender.quiet()


@documented("Encrypted channels", "One trigger may name encrypted channels beside others")
def test_a_trigger_may_name_encrypted_channels_beside_others(service: Service) -> None:
    """Server libraries refuse to, since each channel has its own key; the API does not."""
    client, channels = service.client(), ["a", "private-encrypted-a"]
    client.subscribe(*channels)
    body = {"name": "e", "channels": channels, "data": SECRET_BOX}
    assert service.post("events", body).ok() == {}
    for channel in channels:
        client.hears("e", channel, SECRET_BOX)
