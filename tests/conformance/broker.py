"""What every broker promises (``callboard_server.brokers``), as checks on a fresh one.

Each check is a coroutine function that takes a factory: an asynchronous context manager of a
broker that is not started and shares its state with nobody. :data:`CHECKS` has them all::

    @pytest.mark.parametrize("check", broker.CHECKS, ids=lambda check: check.__name__)
    async def test_my_broker(check):
        await check(make_my_broker)

Events may arrive later than the call that caused them has returned. So nothing here looks at
what was heard without waiting for it, and silence is shown by a fence: an event published
afterwards, which must be the next one heard.
"""

from __future__ import annotations

from typing import Final

from conformance import broker_events, broker_life, broker_presence
from conformance.node import Check, FullBroker, MakeBroker, RecordingListener

__all__ = ["CHECKS", "Check", "FullBroker", "MakeBroker", "RecordingListener"]

CHECKS: Final[list[Check]] = [
    *broker_events.SUITE,
    *broker_presence.SUITE,
    *broker_life.SUITE,
]
