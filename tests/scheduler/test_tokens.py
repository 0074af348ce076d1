"""Tokens: what they open, what they never open, and how each mistake is told from the others."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_protocol import signatures
from callboard_protocol.reserved import worker_key
from callboard_scheduler import names, tokens
from callboard_scheduler.errors import BadField, BadToken, TokenFault
from callboard_scheduler.tokens import WatchGrant, WorkerGrant

KEY, SECRET = "app-key", "app-secret"
NOW, LATER = 1_000, 2_000
SOCKET_ID = "12.34"


def worker_grant(worker: str = "w1", **options: Any) -> WorkerGrant:
    token = tokens.worker_token(KEY, SECRET, worker=worker, expires=LATER, **options)
    grant = tokens.verify(token, SECRET, NOW)
    assert isinstance(grant, WorkerGrant)
    return grant


def watch_grant(**options: Any) -> WatchGrant:
    token = tokens.watch_token(KEY, SECRET, expires=LATER, **options)
    grant = tokens.verify(token, SECRET, NOW)
    assert isinstance(grant, WatchGrant)
    return grant


def signed(payload: object) -> str:
    """Return a token of any payload, rightly signed."""
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    encoded = urlsafe_b64encode(text).decode().rstrip("=")
    return f"{KEY}.{encoded}.{signatures.sign(SECRET, f'sched/1 token:{encoded}')}"


def fault_of(token: str, secret: str = SECRET, now: float = NOW) -> TokenFault:
    with pytest.raises(BadToken) as refusal:
        tokens.verify(token, secret, now)
    assert secret not in str(refusal.value)
    return refusal.value.why


# What they open


def test_a_workers_token_opens_its_own_channel_and_the_pools() -> None:
    grant = worker_grant()
    assert grant.allows_channel(names.worker_channel("default", "w1"))
    assert grant.allows_channel(names.pool_channel("default", "gpu"))


@pytest.mark.parametrize(
    "channel",
    [
        names.worker_channel("default", "w2"),
        names.worker_channel("default", "w1.2"),
        names.worker_channel("default", "w"),
        names.worker_channel("other", "w1"),
        names.pool_channel("other", "gpu"),
        names.pool_channel("default", ""),
        names.task_channel("default", "w1"),
        names.queue_channel("default", "default"),
        names.fleet_channel("default"),
        "private-w1",
        "",
    ],
)
def test_a_worker_may_only_be_itself(channel: str) -> None:
    grant = worker_grant()
    assert not grant.allows_channel(channel)
    with pytest.raises(BadToken) as refusal:
        tokens.authorize(grant, SECRET, KEY, SOCKET_ID, channel)
    assert refusal.value.why is TokenFault.NOT_FOR_THIS


def test_a_token_may_be_for_all_workers_whose_id_begins_alike() -> None:
    grant = worker_grant("web-*")
    assert grant.allows_worker("web-1") and grant.allows_worker("web-")
    assert not grant.allows_worker("we-1")
    assert worker_grant("*").allows_worker("anybody")


def test_a_token_for_several_workers_does_not_say_who_joins_a_pool() -> None:
    assert not worker_grant("web-*").allows_channel(names.pool_channel("default", "gpu"))


def test_a_worker_is_told_what_its_token_holds_it_to() -> None:
    grant = worker_grant(queues=["fast", "slow"], names=["thumbnail"])
    assert grant.queues == ("fast", "slow")
    assert grant.task_names == ("thumbnail",)
    free = worker_grant()
    assert free.queues is None and free.task_names is None


def test_a_watcher_sees_the_tasks_and_queues_that_its_token_names() -> None:
    grant = watch_grant(tasks=["t1"], queues=["fast"])
    assert grant.allows_channel(names.task_channel("default", "t1"))
    assert grant.allows_channel(names.queue_channel("default", "fast"))
    for channel in (
        names.task_channel("default", "t2"),
        names.task_channel("default", ""),
        names.task_channel("other", "t1"),
        names.queue_channel("default", "t1"),
        names.fleet_channel("default"),
        names.worker_channel("default", "t1"),
        names.pool_channel("default", "t1"),
    ):
        assert not grant.allows_channel(channel)


def test_a_star_is_all_tasks_or_all_queues_but_not_both() -> None:
    # One name may be given bare.
    tasks, queues = watch_grant(tasks="*"), watch_grant(queues="*")
    assert tasks.allows_channel(names.task_channel("default", "any.task"))
    assert not tasks.allows_channel(names.queue_channel("default", "any"))
    assert queues.allows_channel(names.queue_channel("default", "any"))
    assert not queues.allows_channel(names.task_channel("default", "any"))


def test_the_fleet_is_a_right_of_its_own() -> None:
    assert watch_grant(fleet=True).allows_channel(names.fleet_channel("default"))
    assert not watch_grant(tasks="*", queues="*").allows_channel(names.fleet_channel("default"))


def test_a_token_belongs_to_a_namespace() -> None:
    grant = worker_grant(namespace="blue")
    assert grant.allows_channel(names.worker_channel("blue", "w1"))
    assert not grant.allows_channel(names.worker_channel("default", "w1"))


# How it is authorized


def test_our_own_servers_take_the_key_of_workers_and_other_services_the_secret() -> None:
    channel = names.worker_channel("default", "w1")
    string = f"{SOCKET_ID}:{channel}"
    own = tokens.authorize(worker_grant(), SECRET, KEY, SOCKET_ID, channel)
    foreign = tokens.authorize(worker_grant(), SECRET, KEY, SOCKET_ID, channel, foreign=True)
    assert own == {"auth": signatures.auth(KEY, worker_key(SECRET), string)}
    assert foreign == {"auth": signatures.auth(KEY, SECRET, string)}


def test_in_a_pool_a_worker_is_the_member_of_its_id() -> None:
    channel = names.pool_channel("default", "gpu")
    answer = tokens.authorize(worker_grant(), SECRET, KEY, SOCKET_ID, channel)
    assert json.loads(answer["channel_data"]) == {"user_id": "w1"}
    string = signatures.channel_string(SOCKET_ID, channel, answer["channel_data"])
    assert answer["auth"] == signatures.auth(KEY, SECRET, string)


def test_a_feed_takes_the_ordinary_signature() -> None:
    channel = names.task_channel("default", "t1")
    answer = tokens.authorize(watch_grant(tasks=["t1"]), SECRET, KEY, SOCKET_ID, channel)
    assert answer == {"auth": signatures.auth(KEY, SECRET, f"{SOCKET_ID}:{channel}")}


@pytest.mark.parametrize("socket_id", ["", "1", "1.2:private-x", "1.2\n", "a.b"])
def test_only_a_socket_id_is_signed_for(socket_id: str) -> None:
    channel = names.worker_channel("default", "w1")
    with pytest.raises(BadField, match=r"socket_id: expected a string like '123\.456'"):
        tokens.authorize(worker_grant(), SECRET, KEY, socket_id, channel)


# Whose, and until when


def test_a_token_says_whose_key_it_is_for() -> None:
    assert tokens.key_of(tokens.worker_token(KEY, SECRET, worker="w1", expires=LATER)) == KEY
    dotted = tokens.watch_token("key.with.dots", SECRET, expires=LATER)
    assert tokens.key_of(dotted) == "key.with.dots"
    assert tokens.verify(dotted, SECRET, NOW)


def test_another_secret_opens_nothing() -> None:
    token = tokens.worker_token(KEY, SECRET, worker="w1", expires=LATER)
    assert fault_of(token, secret="other-secret") is TokenFault.WRONG_SIGNATURE


def test_a_token_ends_with_the_second_it_names() -> None:
    token = tokens.worker_token(KEY, SECRET, worker="w1", expires=LATER)
    assert tokens.verify(token, SECRET, LATER - 0.001)
    assert fault_of(token, now=LATER) is TokenFault.EXPIRED
    with pytest.raises(BadToken, match="expired: it ended 60 s ago: ask for a new one"):
        tokens.verify(token, SECRET, LATER + 60)


def test_the_kind_of_a_token_cannot_be_taken_for_the_other() -> None:
    for payload in (
        {"k": "worker", "ns": "default", "t": ["*"], "q": [], "f": True, "exp": LATER},
        {"k": "watch", "ns": "default", "w": "w1", "q": None, "n": None, "exp": LATER},
    ):
        assert fault_of(signed(payload)) is TokenFault.MALFORMED


def test_a_limit_that_is_not_known_is_not_overlooked() -> None:
    payload = {"k": "worker", "ns": "default", "w": "w1", "q": None, "n": None, "exp": LATER}
    assert tokens.verify(signed(payload), SECRET, NOW)
    assert fault_of(signed({**payload, "ip": "10.0.0.1"})) is TokenFault.MALFORMED


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a..c",
        "x" * 7_000,
        signed({}),
        signed({"k": "boss", "exp": LATER}),
        signed(b"\xff"),
        signed(b"[]"),
    ],
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    assert fault_of(token) is TokenFault.MALFORMED


@given(st.text(max_size=80))
def test_any_text_is_refused_and_nothing_breaks(text: str) -> None:
    with pytest.raises(BadToken):
        tokens.verify(text, SECRET, NOW)


@given(st.data())
def test_a_token_that_is_changed_anywhere_is_refused(data: st.DataObject) -> None:
    token = tokens.worker_token(KEY, SECRET, worker="w1", queues=["fast"], expires=LATER)
    place = data.draw(st.integers(len(KEY) + 1, len(token) - 1))
    other = data.draw(
        st.characters(codec="utf-8").filter(lambda character: character != token[place])
    )
    with pytest.raises(BadToken):
        tokens.verify(token[:place] + other + token[place + 1 :], SECRET, NOW)


# What is not minted


@pytest.mark.parametrize("namespace", ["", "a.b", "ä", "x" * 41])
def test_a_namespace_has_to_fit_between_two_dots(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        tokens.worker_token(KEY, SECRET, worker="w1", expires=LATER, namespace=namespace)


@pytest.mark.parametrize("worker", ["a b", "ä", "a*b", "x" * 150])
def test_an_id_has_to_fit_into_a_channels_name(worker: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a channel's name"):
        tokens.worker_token(KEY, SECRET, worker=worker, expires=LATER)
    with pytest.raises(ValueError, match="cannot be part of a channel's name"):
        tokens.watch_token(KEY, SECRET, tasks=[worker], expires=LATER)


def test_a_token_has_to_fit_into_a_header() -> None:
    with pytest.raises(ValueError, match=r"at most 6000 are allowed: name fewer tasks"):
        tokens.watch_token(KEY, SECRET, tasks=[f"task-{n}" for n in range(500)], expires=LATER)
