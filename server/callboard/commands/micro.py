"""``callboard bench micro``: the bench may not import what it times, so it is given to it here."""

from __future__ import annotations

from typing import Final

from callboard.measuring import benchmarks
from callboard_bench.micro.command import micro_command

COMMAND: Final = micro_command(benchmarks)
