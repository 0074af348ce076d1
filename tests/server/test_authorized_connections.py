"""Authorized connections: whoever shows no signature in time is closed, if the app wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.pusher_client import Client, app, other_app, user_json
from support.pusher_service import Service

documented = pytest.mark.documented

TIMEOUT_SECONDS = 30.0
#: How late a deadline may be noticed, and a little more.
LATE = 1


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(app(user_authentication_timeout_seconds=TIMEOUT_SECONDS), other_app()) as service:
        service.hold_time()
        yield service


@documented("Authorized connections", "Who has not authenticated in time is closed with 4009")
def test_a_connection_without_a_signature_is_closed(service: Service) -> None:
    client = service.client()
    client.subscribe("c", "cache-c")
    client.receive()
    service.skip(TIMEOUT_SECONDS - LATE)
    client.quiet()
    service.skip(2 * LATE)
    assert client.ended(4009) == "Connection not authorized within timeout"
    assert service.get("channels").ok() == {"channels": {}}


ENOUGH: dict[str, Callable[[Client], object]] = {
    "signed in": lambda client: client.sign_in("ann"),
    "private": lambda client: client.subscribe("private-c"),
    "private-encrypted": lambda client: client.subscribe("private-encrypted-c"),
    "presence": lambda client: client.enter("presence-c", "ann"),
}


@documented("Authorized connections", "Signing in, or one private or presence channel, is enough")
@pytest.mark.parametrize("authorize", ENOUGH.values(), ids=ENOUGH)
def test_one_signature_is_enough(service: Service, authorize: Callable[[Client], object]) -> None:
    client = service.client()
    service.skip(TIMEOUT_SECONDS - LATE)
    authorize(client)
    for _ in range(3):
        service.skip(TIMEOUT_SECONDS)
        client.quiet()


def refused_channel(client: Client) -> None:
    client.ask("private-c", auth="key-1:beef")
    assert client.error().startswith("Invalid signature")


def refused_signin(client: Client) -> None:
    client.ask_to_sign_in(user_json("ann"), auth="key-1:beef")
    assert client.error().startswith("Invalid signature")


def left_channel(client: Client) -> None:
    client.subscribe("private-c")
    client.unsubscribe("private-c")


def public_channel(client: Client) -> None:
    client.subscribe("my-private-c")


@pytest.mark.parametrize("attempt", [refused_channel, refused_signin, left_channel, public_channel])
def test_what_is_not_enough(service: Service, attempt: Callable[[Client], None]) -> None:
    client = service.client()
    attempt(client)
    client.quiet()
    service.skip(TIMEOUT_SECONDS + LATE)
    client.ended(4009)


def test_each_connection_has_its_own_time(service: Service) -> None:
    first = service.client()
    service.skip(TIMEOUT_SECONDS / 2)
    second = service.client()
    service.skip(TIMEOUT_SECONDS / 2 + LATE)
    first.ended(4009)
    second.quiet()
    service.skip(TIMEOUT_SECONDS / 2)
    second.ended(4009)


def test_one_who_left_in_time_is_forgotten(service: Service) -> None:
    service.client().close()
    service.skip(TIMEOUT_SECONDS + LATE)


@documented("Authorized connections", "It is off unless the app sets a time")
def test_it_is_off_by_default(service: Service) -> None:
    client = service.client(service.apps[1])
    for _ in range(3):
        service.skip(TIMEOUT_SECONDS)
        client.quiet()
