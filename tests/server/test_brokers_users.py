"""Users, last events, transitions and taps of the memory broker, and what only it can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

# Before the checks are imported, so that a failing one shows its values.
pytest.register_assert_rewrite(
    "conformance.broker_taps", "conformance.broker_transitions", "conformance.broker_users"
)

from callboard_server.brokers import Message, Subscription  # noqa: E402
from callboard_server.brokers.memory import MemoryBroker  # noqa: E402
from conformance import broker_taps, broker_transitions, broker_users  # noqa: E402

CHECKS = [*broker_users.SUITE, *broker_transitions.SUITE, *broker_taps.SUITE]


class Clock:
    """Time that moves when it is told to."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def memory() -> AsyncIterator[MemoryBroker]:
    yield MemoryBroker(Clock())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_memory(check: broker_users.Check) -> None:
    await check(memory)


async def test_a_last_event_expires_to_the_second() -> None:
    clock = Clock()
    broker = MemoryBroker(clock)
    await broker.publish([Message("app", "cache-c", b"kept", cached=True)])
    for seconds, left in ((0, 1800), (0.5, 1799), (1000, 799), (799.25, 0)):
        clock.seconds += seconds
        cached = await broker.cached("app", "cache-c")
        assert cached is not None
        assert cached.ttl_seconds == left
    clock.seconds += 0.25
    assert await broker.cached("app", "cache-c") is None
    assert (await broker.join(Subscription("app", "cache-c", "1.1"))).cached is None


async def test_a_newer_event_begins_its_own_half_hour() -> None:
    clock = Clock()
    broker = MemoryBroker(clock)
    await broker.publish([Message("app", "cache-c", b"old", cached=True)])
    clock.seconds += 1799
    await broker.publish([Message("app", "cache-c", b"new", cached=True)])
    clock.seconds += 1799
    cached = await broker.cached("app", "cache-c")
    assert cached is not None
    assert (cached.payload, cached.ttl_seconds) == (b"new", 1)


async def test_expired_events_are_not_held() -> None:
    """Channels come and go, and nobody may ever ask for most of them again."""
    clock = Clock()
    broker = MemoryBroker(clock)
    for number in range(100):
        clock.seconds += 20
        await broker.publish([Message("app", f"cache-{number}", b"kept", cached=True)])
        # The first one is always the youngest but for what follows it here.
        await broker.publish([Message("app", "cache-0", b"again", cached=True)])
    held = {channel for _, channel in broker._last_events}
    assert held == {"cache-0", *(f"cache-{number}" for number in range(10, 100))}


async def test_a_stopped_broker_has_forgotten_users_and_last_events() -> None:
    broker, listener = MemoryBroker(Clock()), broker_users.Listener()
    await broker.start(listener)
    await broker.sign_in("app", "1.1", "ann", [])
    await broker.publish([Message("app", "cache-c", b"kept", cached=True)])
    await broker.stop()
    await broker.start(listener)
    assert (await broker.sign_in("app", "1.2", "bob", ["ann"])).online == frozenset()
    assert await broker.cached("app", "cache-c") is None
    changes = [listener.changes.get_nowait()[0] for _ in range(2)]
    assert changes == [("app", "ann", True), ("app", "bob", True)]
