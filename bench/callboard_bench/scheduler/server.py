"""The server under a workload: on loopback, and one process."""

from __future__ import annotations

from dataclasses import dataclass

from callboard_bench.api import App
from callboard_bench.targets.target import Target


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    host: str
    port: int
    pid: int
    app: App

    @classmethod
    def of(cls, target: Target) -> Server:
        """Return the server of a target that was started here."""
        return cls(target.api.host, target.api.port, target.pids[0], target.app)
