"""What every store promises (``callboard_scheduler.stores``), as checks on a fresh one.

Each check is a coroutine function that takes a factory: an asynchronous context manager of a
store that is not started and shares its state with nobody. :data:`CHECKS` has them all::

    @pytest.mark.parametrize("check", store.CHECKS, ids=lambda check: check.__name__)
    async def test_my_store(check):
        await check(make_my_store)
"""

from __future__ import annotations

from typing import Final

from conformance import store_life, store_reading, store_writing
from conformance.store_suite import Check, MakeStore

__all__ = ["CHECKS", "Check", "MakeStore"]

CHECKS: Final[list[Check]] = [
    *store_writing.SUITE,
    *store_reading.SUITE,
    *store_life.SUITE,
]
