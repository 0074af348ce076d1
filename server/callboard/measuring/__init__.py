"""What ``callboard bench micro`` times: the steps of every part, as this version has them.

The bench knows the server and the scheduler from outside only, so the benchmarks that look inside
are made here and given to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from callboard.measuring import scheduling, serving
from callboard_bench.micro import protocol
from callboard_bench.micro.benchmark import Benchmark


def benchmarks() -> Sequence[Benchmark]:
    """Return all of them, in the order in which a message meets them."""
    return [*protocol.benchmarks(), *serving.benchmarks(), *scheduling.benchmarks()]
