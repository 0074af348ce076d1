"""Signed-in users: pusher-js at one end, both official server libraries at the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pusher
import pytest

from callboard_server.background import BackgroundServer
from interop.apps import APP
from interop.conftest import StartScript, server_sdk
from interop.inbox import eventually
from interop.node_script import NodeScript
from interop.sdks import LANGUAGES, ServerSDK, backend_in, sdk_in
from support.backend import Backend


@pytest.fixture
def start(node: StartScript, server: BackgroundServer) -> StartScript:
    """Start a scenario whose clients know the server and the app's key."""

    def start(scenario: str, **config: object) -> NodeScript:
        return node("users.cjs", scenario, port=server.port, key=APP.key, **config)

    return start


@pytest.fixture(params=LANGUAGES)
def sdk(request: pytest.FixtureRequest, node: StartScript, server: BackgroundServer) -> ServerSDK:
    return sdk_in(request.param, node, server.port)


@pytest.fixture
def backend_url() -> Iterator[str]:
    with backend_in("python") as url:
        yield url


@pytest.fixture
def names(name: str) -> dict[str, str]:
    """Users of this test alone, by who they are in it."""
    return {who: f"{who}-{name}" for who in ("alice", "bob", "carol")}


def info(user: str) -> Any:
    return Backend.member(user)["user_info"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_signs_in_as_the_backend_says(
    language: str, node: StartScript, start: StartScript, names: dict[str, str]
) -> None:
    alice = names["alice"]
    friends = {alice: [names["bob"]]}
    with backend_in(language, node, friends=friends) as url:
        script = start("signin", backend=url, users=[alice])
        expected = {"id": alice, "user_info": info(alice), "watchlist": friends[alice]}
        assert script.hear("signed in") == expected
        script.cue("end")
        script.finish()


def test_an_event_for_a_user_reaches_all_its_clients_and_no_other(
    start: StartScript, backend_url: str, sdk: ServerSDK, names: dict[str, str]
) -> None:
    alice, bob = names["alice"], names["bob"]
    script = start("signin", backend=backend_url, users=[alice, alice, bob])
    for user in (alice, alice, bob):
        assert script.hear("signed in")["id"] == user
    for data in ({"text": "žluťoučký 🐴"}, "a string", [1, None]):
        assert sdk.send_to_user(alice, "news", data) == {}
        assert script.hear(f"{alice} hears") == script.hear(f"{alice} hears") == data
    sdk.send_to_user(names["carol"], "news", "to nobody")
    sdk.send_to_user(bob, "news", "for bob")
    assert script.hear(f"{bob} hears") == "for bob"
    script.cue("end")
    script.finish()
    assert script.transcript.count('hears"') == 7


def test_a_sign_in_with_another_secret_is_refused(
    start: StartScript, api: pusher.Pusher, name: str
) -> None:
    with Backend(server_sdk(APP, port=1, secret="guessed")) as backend:
        script = start("refused", backend=backend.url, channel=name)
        error = script.hear("error")
        script.finish()
    assert error["code"] is None
    assert error["message"].startswith("Invalid signature: Expected HMAC SHA256 hex digest of ")
    assert '::user::{"id": "alice"' in error["message"]
    assert APP.secret not in script.transcript
    assert script.hear("user") is None
    assert script.hear("state") == "connected"


def test_it_signs_in_again_when_it_comes_back(
    start: StartScript, backend_url: str, api: pusher.Pusher, names: dict[str, str]
) -> None:
    alice = names["alice"]
    script = start("signinAgain", backend=backend_url, user=alice)
    assert script.hear("another connection") is True
    api.send_to_user(alice, "news", "welcome back")
    assert script.hear("news") == "welcome back"
    script.cue("end")
    script.finish()


def test_a_watchlist_tells_of_users_not_connections(
    start: StartScript, api: pusher.Pusher, names: dict[str, str], name: str
) -> None:
    alice, bob, carol = names.values()
    two_left = {"occupied": True, "subscription_count": 2}

    def heard_in_between() -> None:
        """What alice hears next was sent now, so nothing came before."""
        api.send_to_user(alice, "news", "now")
        assert script.hear("alice hears") == "now"

    with backend_in("python", friends={alice: [bob, carol]}) as url:
        script = start("watchlist", backend=url, names=names, channel=name)
        script.hear("watching")
        assert script.hear("alice hears") == ["online", "online", [bob]]
        assert script.hear("alice hears") == ["offline", "offline", [carol]]
        heard_in_between()

        script.cue("comes")  # another tab of bob's
        script.hear("came")
        heard_in_between()
        script.cue("comes")
        script.hear("came")
        assert script.hear("alice hears") == ["online", "online", [carol]]
        heard_in_between()

        script.cue("goes")  # bob's first tab
        eventually(lambda: api.channel_info(name, ["subscription_count"]) == two_left)
        heard_in_between()
        script.cue("goes")
        assert script.hear("alice hears") == ["offline", "offline", [bob]]
        script.cue("goes")
        assert script.hear("alice hears") == ["offline", "offline", [carol]]
        script.cue("end")
        script.finish()


def test_of_too_many_friends_the_first_hundred_are_watched(
    start: StartScript, names: dict[str, str]
) -> None:
    alice = names["alice"]
    friends = [f"friend-{n}" for n in range(101)]
    with backend_in("python", friends={alice: friends}) as url:
        script = start("tooManyFriends", backend=url, user=alice)
        assert script.hear("error")["code"] == 4302
        assert script.hear("offline") == 100
        assert script.hear("state") == "connected"
        script.finish()


def test_a_terminated_user_is_gone_until_it_comes_back_on_purpose(
    start: StartScript,
    node: StartScript,
    server: BackgroundServer,
    backend_url: str,
    api: pusher.Pusher,
    names: dict[str, str],
    name: str,
) -> None:
    """alice is terminated by the Python library and bob by Node's; carol stays.

    So does a client known as alice at the backend, but not signed in.
    """
    alice, bob, carol = names.values()
    tabs = {"alice": alice, "alice's other tab": alice, "bob": bob, "carol": carol}
    channel = "presence-" + name
    script = start("terminated", backend=backend_url, users=tabs, channel=channel)
    script.hear("signed in")
    assert sdk_in("python", node, server.port).terminate_user_connections(alice) == {}
    assert sdk_in("node", node, server.port).terminate_user_connections(bob) == {}
    gone = {script.hear("gone") for _ in range(3)}
    assert gone == {"alice", "alice's other tab", "bob"}
    script.cue("all gone")

    reports = script.hear("reports")
    assert reports.pop("carol") == {"states": [], "codes": []}
    for report in reports.values():
        assert report["states"] == ["disconnected"]
        assert {error["code"] for error in report["codes"]} == {4009}
    api.trigger(channel, "news", "still here")
    assert script.hear("stranger hears") == "still here"
    assert script.hear("back") == alice
    script.cue("end")
    script.finish()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_signed_in_user_is_a_member_without_channel_data(
    language: str,
    node: StartScript,
    start: StartScript,
    api: pusher.Pusher,
    names: dict[str, str],
    name: str,
) -> None:
    alice, bob = names["alice"], names["bob"]
    channel = "presence-" + name
    with backend_in(language, node, channel_data=False) as url:
        script = start("presence", backend=url, names=names, channel=channel)
        me = {"id": alice, "info": info(alice)}
        alone = {"count": 1, "me": me, "everyone": {alice: info(alice)}}
        assert script.hear("alice alone") == alone
        assert script.hear("bob joins") == {
            "count": 2,
            "me": {"id": bob, "info": info(bob)},
            "everyone": {alice: info(alice), bob: info(bob)},
        }
        assert script.hear("alice hears") == ["added", bob, info(bob)]
        assert script.hear("alice hears") == ["hello", {"user_id": bob}]
        users = api.users_info(channel)["users"]
        assert sorted(user["id"] for user in users) == [alice, bob]
        script.cue("bob leaves")
        assert script.hear("alice hears") == ["removed", bob, info(bob)]
        eventually(lambda: api.users_info(channel) == {"users": [{"id": alice}]})
        script.cue("end")
        script.finish()


def test_nobody_is_no_member(start: StartScript, name: str) -> None:
    with backend_in("python", channel_data=False) as url:
        script = start("nobody", backend=url, channel="presence-" + name)
        error = script.hear("error")
        script.finish()
    assert error["code"] is None
    assert "channel_data" in error["message"]
