"""Every broker held to the same promises, and what only one of them can be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from callboard_server.brokers import Message, Subscription
from callboard_server.brokers.memory import MemoryBroker
from conformance import broker as conformance
from conformance.broker import RecordingListener


@asynccontextmanager
async def memory() -> AsyncIterator[MemoryBroker]:
    yield MemoryBroker(lambda: 0.0)


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
async def test_memory(check: conformance.Check) -> None:
    await check(memory)


async def test_a_new_memory_broker_begins_a_new_epoch() -> None:
    """Its count starts anew, so an ``n`` from before must not be taken for a place in it."""
    message = Message("app", "channel", b"e")
    epochs = set()
    for _ in range(10):
        serials = await MemoryBroker(lambda: 0.0).publish([message])
        assert serials[0].n == 1
        epochs.add(serials[0].epoch)
    assert len(epochs) == 10


async def test_a_stopped_memory_broker_has_forgotten_its_subscriptions_and_connections() -> None:
    broker, listener = MemoryBroker(lambda: 0.0), RecordingListener()
    await broker.start(listener)
    before = await broker.join(Subscription("app", "channel", "1.1"))
    assert await broker.connect("app", 1)
    await broker.stop()
    await broker.start(listener)
    assert await broker.channels("app") == {}
    assert await broker.connect("app", 1)
    serials = await broker.publish([Message("app", "channel", b"e")])
    # The same epoch goes on counting: no place is given twice.
    assert serials[0] > before.serial
