"""``callboard bench``: the bench's scenarios, and the one that looks inside our other packages."""

from __future__ import annotations

from callboard_bench.cli import Listed, bench

__all__ = ["bench"]

bench.listed["micro"] = Listed(
    "Single steps of the code, without sockets.", "callboard.commands.micro", "COMMAND"
)
