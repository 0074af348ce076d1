"""Submitting on a schedule that does not wait for the server (open loop)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from callboard_bench.clock import monotonic_ns


async def paced(count: int, interval_seconds: float) -> AsyncIterator[int]:
    """Yield ``count`` times, this far apart, the time in ns that latency counts from.

    That is now; or when it was due, if the caller was still busy with the one before.
    """
    start = monotonic_ns()
    for number in range(count):
        due = start + int(number * interval_seconds * 1e9)
        now = monotonic_ns()
        if now < due:
            await asyncio.sleep((due - now) / 1e9)
        yield due if number and now > due else monotonic_ns()
