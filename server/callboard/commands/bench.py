"""``callboard bench``: the bench's own commands, and the one that looks inside this package."""

from __future__ import annotations

from collections.abc import Sequence

from callboard_bench.cli import bench
from callboard_bench.micro.benchmark import Benchmark
from callboard_bench.micro.command import micro_command


def _benchmarks() -> Sequence[Benchmark]:
    # They load the server and the scheduler.
    from callboard.measuring import benchmarks

    return benchmarks()


bench.add_command(micro_command(_benchmarks))

__all__ = ["bench"]
