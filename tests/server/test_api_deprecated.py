"""What hosted Pusher calls deprecated since 2012, and still answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.pusher_client import app, other_app
from support.pusher_service import Service

documented = pytest.mark.documented


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service(app(), other_app()) as service:
        yield service


# POST channels/{name}/events


@documented(
    "HTTP API, deprecated", "`POST channels/{name}/events` relays its body, and answers 202"
)
@pytest.mark.parametrize("channel", ["c", "private-c", "a_-=@,.;"])
@pytest.mark.parametrize("data", ['{"a": "ä"}', "no JSON", " 1\n"])
def test_the_body_is_the_data(service: Service, channel: str, data: str) -> None:
    listener = service.client()
    listener.subscribe(channel)
    answer = service.post(f"channels/{channel}/events", data.encode(), name="e")
    assert (answer.status, answer.body) == (202, b"{}")
    listener.hears("e", channel, data)
    listener.close()


def test_an_empty_body_is_empty_data(service: Service) -> None:
    listener = service.client()
    listener.subscribe("c")
    assert service.post("channels/c/events", b"", name="e").status == 202
    listener.hears("e", "c", "")


@documented("HTTP API, deprecated", "Its `socket_id` leaves one connection out")
def test_a_connection_can_be_left_out(service: Service) -> None:
    sender, listener = service.client(), service.client()
    for client in (sender, listener):
        client.subscribe("c")
    answer = service.post("channels/c/events", b"d", name="e", socket_id=sender.socket_id)
    assert answer.status == 202
    listener.hears("e", "c")
    sender.quiet()


def test_it_reaches_a_user(service: Service) -> None:
    client = service.client()
    client.sign_in("ann")
    client.subscribe("#server-to-user-ann")
    assert service.post("channels/#server-to-user-ann/events", b"d", name="e").status == 202
    client.hears("e", "#server-to-user-ann")


@documented("HTTP API, deprecated", "What it does not understand is refused with 400")
@pytest.mark.parametrize(
    ("channel", "parameters", "body", "text"),
    [
        ("c", {}, b"d", "Missing required parameter: name"),
        ("c", {"name": ""}, b"d", "Invalid event name: it is empty"),
        ("a b", {"name": "e"}, b"d", "Invalid channel name 'a b'"),
        ("c", {"name": "e", "socket_id": "x"}, b"d", "Invalid socket_id"),
        ("c", {"name": "e"}, b"\xff", "Expected the body to be text in UTF-8"),
        ("c", {"name": "e", "info": "user_count"}, b"d", "The following query string parameters"),
        ("c", {"name": "e", "data": "d"}, b"d", "The following query string parameters"),
    ],
)
def test_what_it_does_not_understand(
    service: Service, channel: str, parameters: dict[str, str], body: bytes, text: str
) -> None:
    listener = service.client()
    listener.subscribe("c")
    answer = service.post(f"channels/{channel}/events", body, **parameters)
    assert answer.refusal(400).startswith(text)
    listener.quiet()


# GET channels/{name}/stats


@documented("HTTP API, deprecated", "`GET channels/{name}/stats` answers occupied and the counts")
def test_the_stats_of_a_channel(service: Service) -> None:
    stranger = service.apps[1]
    assert service.get("channels/s/stats", stranger).ok() == {
        "occupied": False,
        "connection_count": 0,
    }
    assert service.get("channels/presence-s/stats", stranger).ok() == {
        "occupied": False,
        "connection_count": 0,
        "user_count": 0,
    }
    for _ in range(2):
        client = service.client(stranger)
        client.subscribe("s")
        client.enter("presence-s", "ann")
    assert service.get("channels/s/stats", stranger).ok() == {
        "occupied": True,
        "connection_count": 2,
    }
    assert service.get("channels/presence-s/stats", stranger).ok() == {
        "occupied": True,
        "connection_count": 2,
        "user_count": 1,
    }
