"""What a workload is: a name, how much of it, what it says, and how one round of it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from callboard_bench.rounds import Metric, Round
from callboard_bench.targets.target import Contender


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of each workload; the flags of the command line."""

    #: Submits of W1, and how far apart.
    samples: int = 500
    interval_ms: float = 20.0
    #: Length of each part of W2, and the seed of its arrivals.
    arrival_seconds: int = 10
    seed: int = 1
    #: Tasks of W3, requests at once, and tasks in a request of W3b and W4.
    tasks: int = 20_000
    in_flight: int = 32
    batch: int = 100
    #: Tasks queued in W4.
    backlog: int = 100_000
    #: Workers killed in W5 and W5f, and stopped in W5b.
    kills: int = 30
    stops: int = 3
    #: Workers of each peer killed in W5, and how long their tasks are waited for.
    peer_kills: int = 1
    peer_kill_seconds: int = 90
    #: Length of W6.
    cron_seconds: int = 60
    #: Progress reports of W7, ten a second, and those who watch in W7b.
    reports: int = 200
    watchers: int = 100
    #: Queued tasks whose time is changed in W8, and running ones cancelled in W9.
    changes: int = 1_000
    cancels: int = 100
    #: Length of W10, and the workers that have nothing to do meanwhile.
    idle_seconds: int = 60
    idle_workers: int = 10


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload. ``quick`` ones run when none is named."""

    key: str
    title: Callable[[Sizes], str]
    metrics: Sequence[Metric]
    run: Callable[[Contender, Sizes], Awaitable[Round]]
    quick: bool = True
