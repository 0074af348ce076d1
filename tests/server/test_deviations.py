"""Where Callboard is not as hosted Pusher is: shown here, so that the list of them stays true.

``tests/compatibility/page.toml`` has each with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.pusher_client import Client, app
from support.pusher_service import Service

deviation = pytest.mark.deviation


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(app()) as service:
        yield service


@deviation("subscription errors")
@pytest.mark.parametrize("channel", ["private-c", "private-encrypted-c", "presence-c"])
def test_a_refused_subscription_is_answered_with_an_error_alone(
    service: Service, channel: str
) -> None:
    client = service.client()
    client.ask(channel, auth="key-1:beef")
    assert client.error().startswith("Invalid signature")
    client.quiet()


@deviation("client events without data")
def test_a_client_event_without_data_has_an_empty_object(service: Service) -> None:
    sender, listener = service.client(), service.client()
    for client in (sender, listener):
        client.subscribe("private-c")
    sender.send(event="client-e", channel="private-c")
    listener.hears("client-e", "private-c", "{}")
    sender.quiet()


@deviation("client event data")
def test_an_object_in_a_client_event_is_relayed_as_a_string(service: Service) -> None:
    sender, listener = service.client(), service.client()
    for client in (sender, listener):
        client.subscribe("private-c")
    sender.send(event="client-e", channel="private-c", data={"a": [1, "ä"]})
    listener.hears("client-e", "private-c", '{"a":[1,"ä"]}')


@deviation("limits of a plan")
def test_what_depends_on_a_plan_is_not_limited(service: Service) -> None:
    settings = service.app
    assert settings.max_connections is None
    assert settings.max_backend_events_per_second is None
    for number in range(200):
        service.trigger("c", f"e-{number}")
    clients = [service.client() for _ in range(30)]
    clients[-1].subscribe(*(f"c-{number}" for number in range(200)))


@deviation("no protocol version")
@pytest.mark.parametrize("query", ["", "?client=js", "?version=1.9.3"])
def test_a_client_that_names_no_version_is_accepted(service: Service, query: str) -> None:
    client = Client(service.open(f"/app/key-1{query}"), service.app)
    client.subscribe("c")


@deviation("protocol 4")
def test_protocol_4_is_refused(service: Service) -> None:
    text = service.refused(4007, "/app/key-1?protocol=4")
    assert text == "Unsupported protocol version 4 (supported: 5, 6, 7)"


@deviation("error and close")
@pytest.mark.parametrize("protocol", [5, 6, 7])
def test_a_refusal_is_told_twice_to_every_version(service: Service, protocol: int) -> None:
    service.refused(4001, f"/app/unknown?protocol={protocol}")


@deviation("terminate closes with 4009")
def test_a_terminated_connection_is_told_not_to_come_back(service: Service) -> None:
    client = service.client()
    client.sign_in("ann")
    assert service.post("users/ann/terminate_connections", {}).ok() == {}
    client.ended(4009)


@deviation("signin success")
def test_the_data_of_a_signins_success_is_a_string(service: Service) -> None:
    client = service.client()
    client.ask_to_sign_in('{"id":"ann"}')
    assert client.receive_text() == (
        '{"event":"pusher:signin_success","data":"{\\"user_data\\":\\"{\\\\\\"id\\\\\\":\\\\\\"ann'
        '\\\\\\"}\\"}"}'
    )


@deviation("subscription count in info")
def test_the_api_counts_without_being_asked_to_in_the_settings(service: Service) -> None:
    service.client().subscribe("c")
    service.client().enter("presence-c", "ann")
    assert not service.app.subscription_count_events
    assert service.get("channels", info="subscription_count").ok() == {
        "channels": {"c": {"subscription_count": 1}, "presence-c": {"subscription_count": 1}}
    }


@deviation("unauthorized connections count")
def test_a_connection_counts_before_it_is_authorized() -> None:
    limited = app(user_authentication_timeout_seconds=30, max_connections=1)
    with Service(limited) as service:
        service.client()
        service.refused(4004)


@deviation("no 4202")
def test_a_silent_client_that_answers_pings_stays_for_days() -> None:
    day = 24 * 3600
    with Service(activity_timeout_seconds=day) as service:
        client = service.client()
        client.subscribe("c")
        for _ in range(3):
            service.skip(day + 1)
            assert client.receive_text() == '{"event":"pusher:ping","data":"{}"}'
            client.send(event="pusher:pong", data={})
            client.quiet()
