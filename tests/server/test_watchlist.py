"""Watchlists: a signed-in user is told who of those it watches is online, and when that changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.pusher_client import Client, app, other_app, user_json
from support.pusher_service import Service

documented = pytest.mark.documented


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(app(), other_app()) as service:
        yield service


def told(watcher: Client) -> dict[str, list[str]]:
    """Return who the next frame says is online and offline."""
    data = watcher.data_of("pusher_internal:watchlist_events")
    assert data.keys() == {"events"}
    for event in data["events"]:
        assert event.keys() == {"name", "user_ids"}
        assert event["user_ids"], "an event about nobody"
    named = {event["name"]: event["user_ids"] for event in data["events"]}
    assert len(named) == len(data["events"]), "each of the two once at most"
    return named


def user(service: Service, user_id: str, *watchlist: str) -> Client:
    client = service.client()
    client.sign_in(user_id, **({"watchlist": watchlist} if watchlist else {}))
    return client


# What it is at first


@pytest.mark.deviation("watchlist setting")
@documented("Watchlist", "Signing in is followed by the state of the whole watchlist")
def test_the_first_word_is_about_everybody(service: Service) -> None:
    user(service, "bob")
    user(service, "dan")
    watcher = user(service, "ann", "bob", "cat", "dan", "eve")
    assert told(watcher) == {"online": ["bob", "dan"], "offline": ["cat", "eve"]}
    watcher.quiet()


@documented("Watchlist", "The frame has no channel, and its data is a JSON string with `events`")
def test_the_frame_is_the_documented_one(service: Service) -> None:
    user(service, "bob")
    watcher = user(service, "ann", "bob", "cat")
    assert watcher.receive_text() == (
        '{"event":"pusher_internal:watchlist_events","data":"{\\"events\\":['
        '{\\"name\\":\\"online\\",\\"user_ids\\":[\\"bob\\"]},'
        '{\\"name\\":\\"offline\\",\\"user_ids\\":[\\"cat\\"]}]}"}'
    )


@pytest.mark.parametrize(("online", "name"), [(True, "online"), (False, "offline")])
def test_an_event_about_nobody_is_left_out(service: Service, online: bool, name: str) -> None:
    if online:
        user(service, "bob")
    assert told(user(service, "ann", "bob")) == {name: ["bob"]}


@documented("Watchlist", "Without a watchlist there are no watchlist events")
@pytest.mark.parametrize("watchlist", [None, []])
def test_without_a_watchlist_nothing_is_said(service: Service, watchlist: list[str] | None) -> None:
    client = service.client()
    client.sign_in("ann", watchlist=watchlist)
    user(service, "bob")
    client.quiet()


def test_a_user_may_watch_itself(service: Service) -> None:
    watcher = user(service, "ann", "ann", "bob")
    assert told(watcher) == {"online": ["ann"], "offline": ["bob"]}
    watcher.quiet()


def test_a_user_named_twice_is_told_once(service: Service) -> None:
    assert told(user(service, "ann", "bob", "cat", "bob")) == {"offline": ["bob", "cat"]}


# What changes


@documented("Watchlist", "A user is online with its first connection and offline with its last")
def test_the_first_and_the_last_connection_count(service: Service) -> None:
    watcher = user(service, "ann", "bob", "cat")
    told(watcher)
    first = user(service, "bob")
    assert told(watcher) == {"online": ["bob"]}
    second = user(service, "bob")
    first.close()
    watcher.quiet()
    second.close()
    assert told(watcher) == {"offline": ["bob"]}
    user(service, "bob")
    assert told(watcher) == {"online": ["bob"]}


@documented("Watchlist", "A connected user who has not signed in is offline")
def test_only_signing_in_makes_one_online(service: Service) -> None:
    watcher = user(service, "ann", "bob")
    told(watcher)
    service.client().enter("presence-c", "bob")
    watcher.quiet()


def test_each_change_is_told_to_each_watcher_and_to_no_other(service: Service) -> None:
    watchers = [
        user(service, "ann", "bob"),
        user(service, "ann", "bob"),
        user(service, "eve", "bob"),
    ]
    others = [user(service, "dan", "cat"), user(service, "fay")]
    for client in (*watchers, others[0]):
        told(client)
    bob = user(service, "bob")
    for watcher in watchers:
        assert told(watcher) == {"online": ["bob"]}
    watchers[0].close()
    bob.close()
    for watcher in watchers[1:]:
        assert told(watcher) == {"offline": ["bob"]}
        watcher.quiet()
    for other in others:
        other.quiet()


def test_each_connection_has_its_own_watchlist(service: Service) -> None:
    one, two = user(service, "ann", "bob"), user(service, "ann", "cat")
    told(one), told(two)
    user(service, "bob")
    assert told(one) == {"online": ["bob"]}
    two.quiet()


def test_signing_in_again_does_not_change_the_watchlist(service: Service) -> None:
    watcher = user(service, "ann", "bob")
    told(watcher)
    watcher.sign_in("ann", watchlist=["cat"])
    watcher.quiet()
    user(service, "cat")
    user(service, "bob")
    assert told(watcher) == {"online": ["bob"]}
    watcher.quiet()


def test_the_users_of_another_app_are_others(service: Service) -> None:
    stranger = service.client(service.apps[1])
    stranger.sign_in("bob")
    watcher = user(service, "ann", "bob")
    assert told(watcher) == {"offline": ["bob"]}
    stranger.close()
    watcher.quiet()


def test_one_who_is_terminated_is_offline(service: Service) -> None:
    bob, watcher = user(service, "bob"), user(service, "ann", "bob")
    told(watcher)
    assert service.post("users/bob/terminate_connections", {}).ok() == {}
    bob.ended(4009)
    assert told(watcher) == {"offline": ["bob"]}


# How many


@documented("Watchlist", "100 users may be watched")
def test_a_hundred_are_watched(service: Service) -> None:
    names = [f"user-{number}" for number in range(100)]
    watcher = user(service, "ann", *names)
    assert told(watcher) == {"offline": names}
    user(service, "user-99")
    assert told(watcher) == {"online": ["user-99"]}
    watcher.quiet()


@documented("Watchlist", "Of a longer one the first 100 are, behind the success comes error 4302")
def test_of_more_the_first_hundred_are_watched(service: Service) -> None:
    names = [f"user-{number}" for number in range(101)]
    watcher = service.client()
    user_data = user_json("ann", watchlist=names)
    watcher.ask_to_sign_in(user_data)
    assert watcher.data_of("pusher:signin_success") == {"user_data": user_data}
    text = watcher.error(4302)
    assert text == "Watchlist too long (101 > 100): only the first 100 users are watched"
    assert told(watcher) == {"offline": names[:100]}
    user(service, "user-100")
    watcher.quiet()
    user(service, "user-99")
    assert told(watcher) == {"online": ["user-99"]}
