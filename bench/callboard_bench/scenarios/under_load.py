"""What every scenario runs in: a contender, and the generators that put load on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from callboard_bench.contenders import Contender, Server, running
from callboard_bench.generator import Generator


@asynccontextmanager
async def under_load(
    contender: Contender, count: int = 1
) -> AsyncIterator[tuple[Server, Sequence[Generator]]]:
    """Start a contender, then ``count`` generators, and end them in the same order.

    Raises:
        ServerFailed: as :func:`~callboard_bench.contenders.running` does.
    """
    generators: list[Generator] = []
    try:
        # The server ends first, which answers whatever a generator is still waiting for.
        async with running(contender) as server:
            generators.extend(Generator() for _ in range(count))
            yield server, generators
    finally:
        for generator in generators:
            generator.close()
