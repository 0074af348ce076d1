"""Who is told what of users when the broker takes its time, as one of many processes does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence

import pytest

from callboard_server.brokers import Serial, SignedIn
from callboard_server.brokers.memory import MemoryBroker
from callboard_server.signed_in import SignedInUsers
from support.pusher_client import PATIENCE_SECONDS, PONG, Client, app, succeeded, user_json
from support.pusher_service import Service

# The order of an answer and of changes around it


class Watcher:
    """Notes what it is told as ``+user`` and ``-user``."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def send(self, payload: bytes) -> None:
        for event in json.loads(json.loads(payload)["data"])["events"]:
            sign = {"online": "+", "offline": "-"}[event["name"]]
            self.told += [sign + user for user in event["user_ids"]]


def at(n: int, epoch: str = "epoch") -> Serial:
    return Serial(epoch, n)


@pytest.fixture
def users() -> SignedInUsers[Watcher]:
    return SignedInUsers()


def test_changes_wait_for_the_answer_and_keep_their_order(users: SignedInUsers[Watcher]) -> None:
    watcher = Watcher()
    users.begin(watcher, "app", "ann", ["bob", "cat"])
    users.changed("app", "bob", True, at(5))
    users.changed("app", "cat", True, at(6))
    users.changed("app", "bob", False, at(7))
    assert watcher.told == []
    users.confirm(watcher, at(5))
    # What the answer has already is not told again.
    assert watcher.told == ["+cat", "-bob"]
    users.changed("app", "cat", False, at(8))
    assert watcher.told == ["+cat", "-bob", "-cat"]


def test_a_change_of_another_epoch_is_never_taken_for_an_old_one(
    users: SignedInUsers[Watcher],
) -> None:
    """The broker was restarted, and its count began anew."""
    watcher = Watcher()
    users.begin(watcher, "app", "ann", ["bob"])
    users.changed("app", "bob", True, at(1, "new"))
    users.confirm(watcher, at(1000))
    assert watcher.told == ["+bob"]


def test_only_those_who_watch_are_told(users: SignedInUsers[Watcher]) -> None:
    watcher, other, stranger, gone = (Watcher() for _ in range(4))
    for each, app_id, watchlist in (
        (watcher, "app", ["bob"]),
        (other, "app", ["cat"]),
        (stranger, "other", ["bob"]),
        (gone, "app", ["bob"]),
    ):
        users.begin(each, app_id, "ann", watchlist)
        users.confirm(each, at(1))
    users.remove(gone, "app", "ann", ["bob"])
    users.changed("app", "bob", True, at(2))
    assert [each.told for each in (watcher, other, stranger, gone)] == [["+bob"], [], [], []]
    assert set(users.connections("app", "ann")) == {watcher, other}
    assert set(users.connections("other", "ann")) == {stranger}
    assert set(users.connections("app", "bob")) == set()


def test_one_who_leaves_while_it_waits_is_told_nothing(users: SignedInUsers[Watcher]) -> None:
    watcher = Watcher()
    users.begin(watcher, "app", "ann", ["bob"])
    users.changed("app", "bob", True, at(2))
    users.remove(watcher, "app", "ann", ["bob"])
    users.confirm(watcher, at(1))
    assert watcher.told == []


# The same over sockets, with a broker that waits


class Gate:
    """Lets ann's sign-in wait, before or after the broker has entered it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, entered: bool) -> None:
        self.entered = entered
        self._reached, self._opened = threading.Event(), asyncio.Event()
        sign_in = MemoryBroker.sign_in

        async def slow_sign_in(
            broker: MemoryBroker,
            app_id: str,
            socket_id: str,
            user_id: str,
            watchlist: Sequence[str],
        ) -> SignedIn:
            if user_id != "ann":
                return await sign_in(broker, app_id, socket_id, user_id, watchlist)
            answer = (
                await sign_in(broker, app_id, socket_id, user_id, watchlist) if entered else None
            )
            self._reached.set()
            await self._opened.wait()
            return answer or await sign_in(broker, app_id, socket_id, user_id, watchlist)

        monkeypatch.setattr(MemoryBroker, "sign_in", slow_sign_in)

    def wait(self) -> None:
        """Return when ann's sign-in waits here."""
        assert self._reached.wait(PATIENCE_SECONDS)

    def open(self, service: Service) -> None:
        service.on_server(lambda _: self._opened.set())


@pytest.fixture(params=[False, True], ids=["before", "after"])
def gate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch, entered=request.param)


@pytest.fixture
def service(gate: Gate) -> Iterator[Service]:
    with Service(app(user_authentication_timeout_seconds=30)) as service:
        yield service


def told(client: Client) -> dict[str, list[str]]:
    events = client.data_of("pusher_internal:watchlist_events")["events"]
    return {event["name"]: event["user_ids"] for event in events}


def known(service: Service, user_id: str) -> int:
    """Return how many connections of the user the hub has."""
    found: list[int] = []
    service.on_server(
        lambda server: found.append(len(server.hub.users.connections(service.app.id, user_id)))
    )
    return found[0]


def test_what_changes_meanwhile_is_told_once(service: Service, gate: Gate) -> None:
    ann, bob = service.client(), service.client()
    ann.ask_to_sign_in(user_json("ann", watchlist=["bob"]))
    gate.wait()
    bob.sign_in("bob")
    gate.open(service)
    assert ann.receive()["event"] == "pusher:signin_success"
    if gate.entered:
        assert told(ann) == {"offline": ["bob"]}
    assert told(ann) == {"online": ["bob"]}
    ann.quiet()
    assert (known(service, "ann"), known(service, "bob")) == (1, 1)
    bob.close()
    assert told(ann) == {"offline": ["bob"]}
    assert (known(service, "ann"), known(service, "bob")) == (1, 0)


def test_messages_behind_a_signin_wait_for_it(service: Service, gate: Gate) -> None:
    ann = service.client()
    ann.ask_to_sign_in(user_json("ann"))
    ann.ask("#server-to-user-ann")
    ann.send(event="pusher:ping")
    gate.wait()
    gate.open(service)
    assert ann.receive()["event"] == "pusher:signin_success"
    assert ann.receive_text() == succeeded("#server-to-user-ann")
    assert ann.receive_text() == PONG


def test_one_who_is_closed_meanwhile_does_not_stay_online(service: Service, gate: Gate) -> None:
    ann, witness = service.client(), service.client()
    witness.sign_in("eve", watchlist=["ann"])
    assert told(witness) == {"offline": ["ann"]}
    ann.ask_to_sign_in(user_json("ann"))
    gate.wait()
    service.skip(31)
    assert ann.error(4009)
    gate.open(service)
    assert ann.closed() == 4009
    assert [told(witness) for _ in range(2)] == [{"online": ["ann"]}, {"offline": ["ann"]}]
    witness.quiet()
    assert known(service, "ann") == 0


def test_one_who_is_terminated_meanwhile_does_not_stay_online(service: Service, gate: Gate) -> None:
    ann, witness = service.client(), service.client()
    witness.sign_in("eve", watchlist=["ann"])
    assert told(witness) == {"offline": ["ann"]}
    ann.ask_to_sign_in(user_json("ann"))
    gate.wait()
    assert service.post("users/ann/terminate_connections", {}).ok() == {}
    assert ann.error(4009)
    gate.open(service)
    assert ann.closed() == 4009
    assert [told(witness) for _ in range(2)] == [{"online": ["ann"]}, {"offline": ["ann"]}]
