"""pusher-js in a browser by each transport alone: what an app does is the same by all three."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pusher
import pytest

from browser.conftest import OpenTab
from browser.tab import Client, Tab
from browser.transports import TRANSPORTS, only, receives
from callboard_server.background import BackgroundServer
from callboard_server.settings import Settings
from interop.apps import APP, APPS
from support.backend import Backend

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("transport", TRANSPORTS),
]

#: After so much of one response pusher-js asks for the next; in UTF-16 code units, as lengths are.
RESPONSE_LENGTH = 256 * 1024
#: In the same units; in no encoding is such a text too long for an event.
TEXT_LENGTH = 3000
#: With how many of these units each is written: not what its bytes or characters say.
LETTERS = (("x", 1), ("語", 1), ("🐴", 2))
#: How many events the API takes at once.
BATCH = 10

#: Connects a user in a tab by the transport under test.
Connect = Callable[[Tab, str], Awaitable[Client]]


@pytest.fixture
def connect(transport: str, server: BackgroundServer) -> Connect:
    def connect(tab: Tab, user: str) -> Awaitable[Client]:
        return tab.connect(user, APP.key, **only(transport, server.port))

    return connect


@pytest.fixture(scope="module")
def impatient_server() -> Iterator[BackgroundServer]:
    """Gives a session up when nobody has asked for it for a second."""
    settings = Settings(port=0, apps=APPS, fallback_session_timeout_seconds=1)
    with BackgroundServer(settings) as server:
        yield server


def trigger_all(api: pusher.Pusher, channel: str, data: list[Any]) -> None:
    """Trigger an event ``count`` with each of ``data``, in order."""
    events = [{"channel": channel, "name": "count", "data": each} for each in data]
    for first in range(0, len(events), BATCH):
        api.trigger_batch(events[first : first + BATCH])


async def test_it_connects_by_nothing_else(
    transport: str, open_tab: OpenTab, server: BackgroundServer, connect: Connect
) -> None:
    tab = await open_tab()
    alice = await connect(tab, "alice")
    assert re.fullmatch(r"\d+\.\d+", alice.socket_id)
    assert receives(tab, transport, server.port)


@pytest.mark.documented(
    "SDKs", "pusher-js in a browser hears events by WebSocket, HTTP streaming and HTTP polling"
)
async def test_it_receives_data_as_the_app_sent_it(
    open_tab: OpenTab, connect: Connect, api: pusher.Pusher, name: str
) -> None:
    channels = [name, "private-" + name, "presence-" + name]
    alice = await connect(await open_tab(), "alice")
    for channel in channels:
        await alice.subscribe(channel, "news")
    for data in ({"n": 1, "nested": {"a": [1, None, True]}}, [1, 2], "text", "žluťoučký\n🐴"):
        api.trigger(channels, "news", data)
        for channel in channels:
            assert await alice.hear(channel, "news") == data


@pytest.mark.documented("SDKs", "pusher-js decrypts what the server cannot read")
async def test_it_decrypts_what_the_server_cannot_read(
    open_tab: OpenTab, connect: Connect, api: pusher.Pusher, name: str
) -> None:
    channel = "private-encrypted-" + name
    alice = await connect(await open_tab("pusher-with-encryption"), "alice")
    await alice.subscribe(channel, "news")
    for data in ({"text": "between us"}, "žluťoučký 🐴"):
        api.trigger(channel, "news", data)
        assert await alice.hear(channel, "news") == data


async def test_a_thousand_events_arrive_in_order(
    open_tab: OpenTab, connect: Connect, api: pusher.Pusher, name: str
) -> None:
    alice = await connect(await open_tab(), "alice")
    await alice.subscribe(name, "count")
    trigger_all(api, name, list(range(1000)))
    heard = await alice.hear_all(name, "count", 1000)
    assert [event.data for event in heard] == list(range(1000))


@pytest.mark.documented("SDKs", "pusher-js sees members come and go")
async def test_members_see_each_other_come_and_go(
    transport: str, open_tab: OpenTab, impatient_server: BackgroundServer, name: str
) -> None:
    """A tab that is closed says nothing; by HTTP it is missed when it asks no more."""
    channel = "presence-" + name
    options = only(transport, impatient_server.port)
    alice, bob = (Backend.member(user)["user_info"] for user in ("alice", "bob"))
    first, second = await open_tab(), await open_tab()

    here = await first.connect("alice", APP.key, **options)
    await here.subscribe(channel, "pusher:member_added", "pusher:member_removed")
    me = {"id": "alice", "info": alice}
    assert await here.members(channel) == {"count": 1, "me": me, "everyone": {"alice": alice}}

    there = await second.connect("bob", APP.key, **options)
    await there.subscribe(channel)
    assert await here.hear(channel, "pusher:member_added") == {"id": "bob", "info": bob}
    assert await there.members(channel) == {
        "count": 2,
        "me": {"id": "bob", "info": bob},
        "everyone": {"alice": alice, "bob": bob},
    }

    await second.close()
    assert await here.hear(channel, "pusher:member_removed") == {"id": "bob", "info": bob}
    assert await here.members(channel) == {"count": 1, "me": me, "everyone": {"alice": alice}}


@pytest.mark.documented("SDKs", "pusher-js sends and hears client events")
@pytest.mark.parametrize(
    ("prefix", "metadata"), [("private-", {}), ("presence-", {"user_id": "alice"})]
)
async def test_client_events_go_to_the_others(
    prefix: str, metadata: dict[str, str], open_tab: OpenTab, connect: Connect, name: str
) -> None:
    channel = prefix + name
    tab = await open_tab()
    alice, bob = await connect(tab, "alice"), await connect(tab, "bob")
    for each in (alice, bob):
        await each.subscribe(channel, "client-greeting", "client-answer")
    for data in ({"text": "hello"}, "a string", ["a", "list"], {"text": "žluťoučký 🐴"}):
        await alice.trigger(channel, "client-greeting", data)
        assert await bob.hear_all(channel, "client-greeting", 1) == [(data, metadata)]
    await bob.trigger(channel, "client-answer", "hello yourself")
    assert await alice.hear(channel, "client-answer") == "hello yourself"
    assert f"alice: client-greeting on {channel}" not in await tab.call("untaken")


async def test_a_stream_goes_on_past_its_length(
    transport: str,
    open_tab: OpenTab,
    server: BackgroundServer,
    connect: Connect,
    api: pusher.Pusher,
    name: str,
) -> None:
    """Nothing is lost where pusher-js lets a response go, and its connection stays the same."""
    texts = [letter * (TEXT_LENGTH // units) for letter, units in LETTERS]
    data = [f"{n}: {texts[n % len(texts)]}" for n in range(3 * RESPONSE_LENGTH // TEXT_LENGTH)]
    tab = await open_tab()
    alice = await connect(tab, "alice")
    await alice.subscribe(name, "count")
    trigger_all(api, name, data)
    heard = await alice.hear_all(name, "count", len(data))
    assert [event.data for event in heard] == data

    sessions = receives(tab, transport, server.port)
    assert len(set(sessions)) == 1
    if transport == "xhr_streaming":
        assert len(sessions) > 3
    api.trigger(name, "count", "after")
    assert await alice.hear(name, "count") == "after"


async def test_an_unknown_key_is_refused_for_good(
    transport: str, open_tab: OpenTab, server: BackgroundServer
) -> None:
    tab = await open_tab()
    alice = await tab.start("alice", "no-such-key", **only(transport, server.port))
    assert (await alice.refused())["code"] == 4001
    await alice.entered("disconnected")
