"""pusher-js by HTTP streaming and by polling, where WebSockets are not let through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pusher
import pytest

from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from interop.apps import APP, APPS, DISABLED
from interop.conftest import StartScript
from interop.node_script import NodeScript
from support.backend import Backend

FILE = "pusher-js.cjs"
TRANSPORTS = ("xhr_streaming", "xhr_polling")


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def start(
    node: StartScript, server: BackgroundServer, backend: Backend, transport: str
) -> StartScript:
    """Start a scenario whose clients have this transport only."""

    def start(scenario: str, file: str = FILE, **config: Any) -> NodeScript:
        settings = {"port": server.port, "key": APP.key, "endpoint": backend.endpoint}
        return node(file, scenario, **settings | {"transports": [transport]} | config)

    return start


@pytest.fixture(scope="module")
def impatient() -> Iterator[BackgroundServer]:
    """A server that does not wait long for clients to come back."""
    settings = Settings(port=0, apps=APPS, fallback_session_timeout_seconds=2)
    with BackgroundServer(settings) as server:
        yield server


@pytest.mark.documented("HTTP fallbacks", "pusher-js connects by `xhr_streaming` and `xhr_polling`")
def test_it_hears_events_on_every_kind_of_channel(
    start: StartScript, api: pusher.Pusher, name: str
) -> None:
    channels = [prefix + name for prefix in ("", "private-", "presence-")]
    script = start("listen", channels=channels, event="news")
    socket_id = script.hear("subscribed")
    for data in ({"n": 1, "nested": {"a": [1, None, True]}}, "žluťoučký 🐴", ""):
        api.trigger(channels, "news", data)
        for channel in channels:
            assert script.hear(channel) == data
    api.trigger(name, "news", "for the others", socket_id)
    api.trigger(name, "news", "for all")
    assert script.hear(name) == "for all"


def test_it_hears_more_than_a_response_may_hold_in_order(
    start: StartScript, api: pusher.Pusher, name: str
) -> None:
    """With characters of which JavaScript and UTF-8 have different lengths."""
    script = start("order", channel=name, count=300)
    script.hear("subscribed")
    for first in range(0, 300, 10):
        api.trigger_batch(
            [
                {
                    "channel": name,
                    "name": "count",
                    "data": json.dumps({"n": n, "text": "ž漢🐴" * 700}, ensure_ascii=False),
                }
                for n in range(first, first + 10)
            ]
        )
    assert script.hear("numbers") == list(range(300))
    script.finish()


def test_members_come_and_go(start: StartScript, impatient: BackgroundServer, name: str) -> None:
    script = start("presence", channel="presence-" + name, port=impatient.port)
    assert script.hear("bob alone")["count"] == 1
    for _tab in range(2):
        assert script.hear("alice joins")["count"] == 2
    assert script.hear("bob hears")[:2] == ["added", "alice"]
    for _tab in range(2):
        script.cue("close a tab")
    # A client that leaves says nothing; its sessions are over when nobody has asked for a while.
    assert script.hear("bob hears") == ["removed", "alice", {"name": "Alice"}]
    script.cue("end")
    assert script.hear("bob at last")["count"] == 1
    script.finish()


def test_client_events_go_to_the_others(start: StartScript, name: str) -> None:
    script = start("clientEvents", channel="private-" + name)
    for data in ({"text": "hello"}, "a string", ["a", "list"], {"text": "žluťoučký 🐴"}):
        assert script.hear("bob hears") == [data, {}]
    assert script.hear("alice hears") == {"text": "hello yourself"}
    script.finish()
    assert "echo" not in script.transcript


def test_its_pings_are_answered(start: StartScript, transport: str) -> None:
    """Each within its pong timeout, else it would connect again."""
    script = start("fallbackKeepAlive")
    assert script.hear("transport") == transport
    assert script.hear("pinged four times") == "connected"
    script.cue("end")
    script.finish()
    assert '"state"' not in script.transcript


def test_a_refused_client_learns_why_and_does_not_try_again(start: StartScript) -> None:
    attempts = [["unknown", "no-such-key", {}], ["disabled", DISABLED.key, {}]]
    reports = start("connections", "refusals.cjs", attempts=attempts).hear("reports")
    for name, code in (("unknown", 4001), ("disabled", 4003)):
        report = reports[name]
        assert [error["code"] for error in report["codes"]] == [code], report
        assert report["states"] == ["connecting", "disconnected"], report
