"""Webhooks: pusher-js causes them, and both official server libraries find them to be genuine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pusher
import pytest

from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings, WebhookEventType, WebhookSettings
from interop.apps import APP
from interop.conftest import StartScript, server_sdk
from interop.node_script import NodeScript
from interop.sdks import LANGUAGES, backend_in, credentials
from interop.webhook_endpoint import WebhookEndpoint

FILE = "webhooks.cjs"
SINGLE, BATCH = "/single", "/batch"

#: Returns the events of the next request to a path.
Hear = Callable[[str], Any]
Event = dict[str, Any]


@contextmanager
def endpoint_in(language: str, node: StartScript) -> Iterator[tuple[str, Hear]]:
    """Run an endpoint that checks with the library of ``language``; gives its address, too."""
    if language == "node":
        script = node(FILE, "receive", **credentials(APP))
        yield script.hear("url"), script.hear
        return
    with WebhookEndpoint(server_sdk(APP, port=1)) as endpoint:
        yield endpoint.url, endpoint.hear


@contextmanager
def serving(*webhooks: WebhookSettings) -> Iterator[BackgroundServer]:
    app = msgspec.structs.replace(APP, subscription_count_events=True, webhooks=webhooks)
    with BackgroundServer(Settings(port=0, apps=(app,))) as server:
        yield server


@pytest.fixture
def backend_url() -> Iterator[str]:
    with backend_in("python") as url:
        yield url


@pytest.fixture
def visit(node: StartScript, backend_url: str) -> StartScript:
    """Start a scenario whose clients know a server and the app's key."""

    def start(scenario: str, server: BackgroundServer, **config: object) -> NodeScript:
        app = {"key": APP.key, "backend": backend_url}
        return node(FILE, scenario, port=server.port, **app, **config)

    return start


def hear_events(hear: Hear, path: str, count: int) -> list[list[Event]]:
    """Return requests to a path until ``count`` events have come with them."""
    requests: list[list[Event]] = []
    while sum(map(len, requests)) < count:
        requests.append(hear(path))
    return requests


def by_name(requests: Sequence[Sequence[Event]]) -> list[Event]:
    """Return all events in an order of their own, for those that Pusher does not put in one."""
    events = [event for request in requests for event in request]
    return sorted(
        events, key=lambda event: (event["name"], event["channel"], event.get("user_id", ""))
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_seven_events_are_genuine(
    language: str, node: StartScript, visit: StartScript, name: str
) -> None:
    presence, cache = "presence-" + name, "cache-" + name
    with endpoint_in(language, node) as (url, hear):
        single = WebhookSettings(url=url + SINGLE)
        batch = WebhookSettings(url=url + BATCH, batch=True)
        with serving(single, batch) as server:
            script = visit("allSeven", server, presenceChannel=presence, cacheChannel=cache)
            socket_id = script.hear("joined")
            joined = [
                {"name": "channel_occupied", "channel": presence},
                {"name": "member_added", "channel": presence, "user_id": "alice"},
                {"name": "member_added", "channel": presence, "user_id": "bob"},
            ]
            assert hear_events(hear, SINGLE, 3) == [[event] for event in joined]
            batches = hear_events(hear, BATCH, 3)
            assert [event for request in batches for event in request] == joined
            # alice's coming was both.
            assert len(batches[0]) >= 2

            script.cue("go on")
            script.hear("missed")
            met = [
                {"name": "cache_miss", "channel": cache},
                {"name": "channel_occupied", "channel": cache},
                {
                    "name": "client_event",
                    "channel": presence,
                    "event": "client-hello",
                    "data": '{"text":"žluťoučký 🐴"}',
                    "socket_id": socket_id,
                    "user_id": "alice",
                },
                {"name": "subscription_count", "channel": cache, "subscription_count": 1},
            ]
            singles = hear_events(hear, SINGLE, 4)
            assert [len(request) for request in singles] == [1] * 4
            assert by_name(singles) == met
            assert by_name(hear_events(hear, BATCH, 4)) == met

            script.cue("go on")
            left = [
                {"name": "channel_vacated", "channel": cache},
                {"name": "channel_vacated", "channel": presence},
                {"name": "member_removed", "channel": presence, "user_id": "alice"},
                {"name": "member_removed", "channel": presence, "user_id": "bob"},
            ]
            assert by_name(hear_events(hear, SINGLE, 4)) == left
            assert by_name(hear_events(hear, BATCH, 4)) == left
            script.cue("end")
            script.finish()


def test_who_comes_back_soon_was_never_away(
    node: StartScript, visit: StartScript, name: str
) -> None:
    """Both members are cut off; the three seconds that Pusher waits pass for one of them."""
    channel = "presence-" + name
    members = (WebhookEventType.MEMBER_ADDED, WebhookEventType.MEMBER_REMOVED)
    with (
        endpoint_in("python", node) as (url, hear),
        serving(WebhookSettings(url=url + SINGLE, events=members)) as server,
    ):
        script = visit("cutOff", server, channel=channel)
        script.hear("joined")
        script.cue("cut off")
        api: pusher.Pusher = server_sdk(APP, server.port)
        events = [event for (event,) in hear_events(hear, SINGLE, 3)]
        assert [(event["name"], event["user_id"]) for event in events] == [
            ("member_added", "alice"),
            ("member_added", "bob"),
            ("member_removed", "bob"),
        ]
        assert api.users_info(channel) == {"users": [{"id": "alice"}]}
        script.cue("end")
        script.finish()
        # What is held back for alice, who leaves at last, is told at the server's end.
        server.stop()
        (last,) = hear(SINGLE)
        assert (last["name"], last["user_id"]) == ("member_removed", "alice")
