"""One channel, many subscribers.

CPU is counted in a window without the probe, whose signed requests would cost the server time
too; loop lag is then seen in a second one. Under saturation the probe belongs in the counted
window (``--probe``): there the question is how long others wait meanwhile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from callboard_bench.clients.link import HTTP_PATH, TRANSPORTS
from callboard_bench.rounds import Round, Watch
from callboard_bench.scenario import (
    Floor,
    Scenario,
    count,
    generators,
    message_bytes,
    often,
    rate,
    switch,
    window,
)
from callboard_bench.scenarios.delivery import http_path, over, room_for_stamps, transport
from callboard_bench.scenarios.parts import run_name
from callboard_bench.scenarios.publishing import METRICS, Plan, published
from callboard_bench.targets.target import Target


@dataclass(frozen=True, slots=True)
class Load:
    """``rate`` messages a second for ``seconds``, each to all ``subscribers``."""

    subscribers: int = 1000
    rate: float = 20.0
    message_bytes: int = 220
    publishers: int = 1
    probe: bool = False
    transport: str = TRANSPORTS[0]
    http_path: str = HTTP_PATH
    seconds: float = 5.0
    warm_up: float = 1.0
    generators: int = 1

    def __post_init__(self) -> None:
        room_for_stamps(self.message_bytes)

    def setting(self) -> str:
        pace = f"{often(self.rate)} messages/s"
        if math.isinf(self.rate):
            pace = "messages as fast as they are answered (closed loop)"
        return (
            f"{self.subscribers:,} subscribers of one channel{over(self.transport)}, {pace} of "
            f"{self.message_bytes} bytes for {self.seconds:g} s"
        )

    def open_files(self) -> int:
        return self.subscribers + self.publishers


async def run(target: Target, load: Load, watch: Watch) -> Round:
    """Run one round."""
    plan = Plan(
        channels=[run_name()],
        subscribers=load.subscribers,
        rate=load.rate,
        message_bytes=load.message_bytes,
        batch=1,
        publishers=load.publishers,
        seconds=load.seconds,
        warm_up=load.warm_up,
        probe=load.probe,
        transport=load.transport,
        http_path=load.http_path,
        generators=min(load.generators, load.subscribers),
    )
    return await published(target, plan, watch)


SCENARIO = Scenario(
    name="fanout",
    about="""
    Messages are published through the signed API and delivered to every subscriber; each
    delivery is audited for loss, duplicates and order. Latency runs from when a message was due.

    More than a server can deliver: --rate 80 --subscribers 8000 --probe
    """,
    load=Load,
    options=(
        count("--subscribers", 1000, "Clients subscribed to the channel."),
        rate("--rate", 20, "Messages published a second.", unbounded=True),
        message_bytes(),
        count("--publishers", 1, "Connections that publish."),
        switch("--probe", "Probe loop lag in the counted window, not in one of its own."),
        transport(),
        http_path(),
        *window(),
        generators(),
    ),
    metrics=lambda load: METRICS,
    run=run,
    floors=(Floor(("-m", "callboard_bench.floor", "broadcast")),),
    p99="p99_ms",
    audited=True,
    requests=True,
)
