"""Servers that the bench starts, for tests that measure one of them many times."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from callboard_bench.targets.target import Contender, Target


def opened(contender: Contender) -> Iterator[Target]:
    """Yield a contender's server while it runs: the body of a fixture."""
    opening = contender.open()
    with asyncio.Runner() as runner:
        yield runner.run(opening.__aenter__())
        runner.run(opening.__aexit__(None, None, None))
