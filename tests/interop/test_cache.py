"""Cache channels in pusher-js: who comes late hears the last event that the app sent."""

from __future__ import annotations

from collections.abc import Iterator

import pusher
import pytest

from callboard_server.background import BackgroundServer
from interop.apps import APP
from interop.conftest import StartScript
from interop.node_script import NodeScript
from interop.sdks import LANGUAGES, backend_in, sdk_in

SUBSCRIBED = ["pusher:subscription_succeeded"]
CACHE_MISS = ["pusher:cache_miss", {}]
PREFIXES = ("cache-", "private-cache-", "presence-cache-", "private-encrypted-cache-")


@pytest.fixture
def backend_url() -> Iterator[str]:
    with backend_in("python") as url:
        yield url


@pytest.fixture
def listeners(
    node: StartScript, server: BackgroundServer, backend_url: str, channel: str
) -> NodeScript:
    config = {"port": server.port, "key": APP.key, "backend": backend_url}
    return node("listeners.cjs", "listeners", channel=channel, **config)


@pytest.fixture
def channel(name: str, prefix: str) -> str:
    return prefix + name


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_last_event_follows_the_subscription(
    language: str, channel: str, listeners: NodeScript, node: StartScript, server: BackgroundServer
) -> None:
    sdk = sdk_in(language, node, server.port)
    listeners.cue("joins", "alice")
    assert [listeners.hear("alice") for _ in range(2)] == [SUBSCRIBED, CACHE_MISS]

    data = {"text": "žluťoučký 🐴", "n": [1, None]}
    sdk.trigger(channel, "first", data)
    assert listeners.hear("alice") == ["first", data]
    listeners.cue("joins", "bob")
    assert [listeners.hear("bob") for _ in range(2)] == [SUBSCRIBED, ["first", data]]

    # Of a batch it is the last, too.
    sdk.trigger_batch(channel, "news", [{"n": 2}, {"n": 3}])
    listeners.cue("joins", "carol")
    assert [listeners.hear("carol") for _ in range(2)] == [SUBSCRIBED, ["news", {"n": 3}]]
    for user in ("alice", "bob"):
        assert [listeners.hear(user) for _ in range(2)] == [["news", {"n": n}] for n in (2, 3)]


@pytest.mark.parametrize("prefix", ["private-cache-", "presence-cache-"])
def test_a_client_event_is_not_kept(
    channel: str, listeners: NodeScript, api: pusher.Pusher
) -> None:
    api.trigger(channel, "news", 1)
    for user in ("alice", "bob"):
        listeners.cue("joins", user)
        assert [listeners.hear(user) for _ in range(2)] == [SUBSCRIBED, ["news", 1]]
    listeners.cue("whisper", "hello")
    assert listeners.hear("bob") == ["client-whisper", "hello"]
    listeners.cue("joins", "carol")
    assert [listeners.hear("carol") for _ in range(2)] == [SUBSCRIBED, ["news", 1]]


@pytest.mark.parametrize("prefix", ["cache-"])
def test_the_api_tells_what_is_kept(channel: str, api: pusher.Pusher) -> None:
    attributes = ["cache"]
    assert api.channel_info(channel, attributes) == {"occupied": False, "cache": None}
    api.trigger(channel, "news", {"n": 1})
    info = api.channel_info(channel, attributes)
    assert info["cache"]["data"] == '{"n": 1}'
    assert 0 < info["cache"]["ttl"] <= 30 * 60
