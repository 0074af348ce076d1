"""Events to a user: whoever is signed in hears them, on every connection, and nobody else does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.pusher_client import app, other_app, succeeded, user_json
from support.pusher_service import Service

documented = pytest.mark.documented

ANN = "#server-to-user-ann"


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(app(), other_app()) as service:
        yield service


@documented("Events to users", "A signed-in user may subscribe to its own channel, without auth")
@pytest.mark.parametrize("auth", [{}, {"auth": ""}, {"auth": "key-1:beef"}])
def test_a_user_hears_what_is_sent_to_it(service: Service, auth: dict[str, str]) -> None:
    client = service.client()
    client.sign_in("ann")
    client.send(event="pusher:subscribe", data={"channel": ANN, **auth})
    assert client.receive_text() == succeeded(ANN)
    service.trigger(ANN, "greeting", '{"text":"hello"}')
    client.hears("greeting", ANN, '{"text":"hello"}')
    client.quiet()


@documented("Events to users", "An ordinary trigger on the user's channel reaches all connections")
def test_every_connection_of_the_user_hears_it_and_nobody_else(service: Service) -> None:
    anns = [service.client() for _ in range(2)]
    for client in anns:
        client.sign_in("ann")
        client.subscribe(ANN)
    bob = service.client()
    bob.sign_in("bob")
    bob.subscribe("#server-to-user-bob")
    stranger = service.client(service.apps[1])
    stranger.sign_in("ann")
    stranger.subscribe(ANN)
    service.trigger(ANN, socket_id=anns[0].socket_id)
    service.trigger(ANN, "again")
    anns[1].hears("e", ANN)
    for client in anns:
        client.hears("again", ANN)
        client.quiet()
    for client in (bob, stranger):
        client.quiet()


@documented("Events to users", "Nobody may subscribe to the channel of another user")
@pytest.mark.parametrize("channel", [ANN, "#server-to-user-", "#server-to-user-bob2"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_nobody_hears_what_is_sent_to_another(
    service: Service, channel: str, signed_in: bool
) -> None:
    client = service.client()
    if signed_in:
        client.sign_in("bob")
    # No signature helps.
    client.ask(channel, auth=client.sign(channel))
    assert client.error() == f"Cannot subscribe to {channel}: sign in as that user first"
    service.trigger(ANN)
    client.quiet()


@documented("Channels", "A name that begins with `#` is the server's own, and refused")
@pytest.mark.parametrize("channel", ["#", "#c", "#users", "#server-to-user", "#Server-to-user-ann"])
def test_other_names_with_a_hash_are_refused(service: Service, channel: str) -> None:
    client = service.client()
    client.sign_in("ann")
    client.ask(channel)
    assert client.error().startswith(f"Invalid channel name '{channel}'")
    body = {"name": "e", "channel": channel, "data": "d"}
    assert service.post("events", body).refusal(400).startswith("Invalid channel name")
    client.quiet()


def test_a_user_may_unsubscribe_and_subscribe_again(service: Service) -> None:
    client = service.client()
    client.sign_in("ann")
    for _ in range(2):
        client.subscribe(ANN)
        client.unsubscribe(ANN)
    service.trigger(ANN)
    client.quiet()


@documented("Events to users", "Subscribers cannot send client events there")
def test_a_users_channel_has_no_client_events(service: Service) -> None:
    sender, listener = service.client(), service.client()
    for client in (sender, listener):
        client.sign_in("ann")
        client.subscribe(ANN)
    sender.send(event="client-e", channel=ANN, data={})
    assert sender.error() == (
        "Client event rejected - only supported on private and presence channels"
    )
    listener.quiet()


@documented("Events to users", "The user's channel is not listed among the app's channels")
def test_the_users_channels_are_not_listed(service: Service) -> None:
    client = service.client()
    client.sign_in("ann")
    client.subscribe(ANN, "c")
    assert service.get("channels").ok() == {"channels": {"c": {}}}
    assert service.get("channels", filter_by_prefix="#").ok() == {"channels": {}}


@documented(
    "Events to users", "An id of 128 characters can be sent to, whatever channels are allowed"
)
def test_the_length_of_channel_names_does_not_bound_user_ids() -> None:
    user_id = "u" * 128
    with Service(app(max_channel_name_length=10)) as service:
        client = service.client()
        client.sign_in(user_id)
        client.subscribe(f"#server-to-user-{user_id}")
        service.trigger(f"#server-to-user-{user_id}")
        client.hears("e", f"#server-to-user-{user_id}")
        body = {"name": "e", "channel": f"#server-to-user-{user_id}u", "data": "d"}
        assert service.post("events", body).refusal(400).startswith("Invalid channel name")


def test_what_follows_a_signin_at_once_is_done_behind_it(service: Service) -> None:
    """pusher-js waits for the success; others need not."""
    client = service.client()
    client.ask_to_sign_in(user_json("ann"))
    client.ask(ANN)
    assert client.receive()["event"] == "pusher:signin_success"
    assert client.receive_text() == succeeded(ANN)
