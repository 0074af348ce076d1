"""Many channels, few subscribers each: what a server does per message outweighs deliveries."""

from __future__ import annotations

import math
from dataclasses import dataclass

from callboard_bench.clients.link import HTTP_PATH, TRANSPORTS
from callboard_bench.rounds import Round, Watch
from callboard_bench.scenario import Scenario, count, generators, message_bytes, often, rate, window
from callboard_bench.scenarios.delivery import http_path, over, room_for_stamps, transport
from callboard_bench.scenarios.parts import run_name
from callboard_bench.scenarios.publishing import METRICS, Plan, published
from callboard_bench.targets.target import Target


@dataclass(frozen=True, slots=True)
class Load:
    """``rate`` messages a second, spread over ``channels`` of ``subscribers`` each."""

    channels: int = 1000
    subscribers: int = 2
    rate: float = 500.0
    batch: int = 1
    message_bytes: int = 220
    publishers: int = 8
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
        batches = f" in batches of {self.batch}" if self.batch > 1 else ""
        return (
            f"{self.channels:,} channels of {self.subscribers:,} subscribers"
            f"{over(self.transport)}, {pace} of {self.message_bytes} bytes{batches} "
            f"for {self.seconds:g} s"
        )

    def open_files(self) -> int:
        return self.channels * self.subscribers + self.publishers


async def run(target: Target, load: Load, watch: Watch) -> Round:
    """Run one round."""
    name = run_name()
    plan = Plan(
        channels=[f"{name}-{number}" for number in range(load.channels)],
        subscribers=load.subscribers,
        rate=load.rate,
        message_bytes=load.message_bytes,
        batch=load.batch,
        publishers=load.publishers,
        seconds=load.seconds,
        warm_up=load.warm_up,
        probe=False,
        transport=load.transport,
        http_path=load.http_path,
        generators=min(load.generators, load.channels),
    )
    return await published(target, plan, watch)


SCENARIO = Scenario(
    name="channels",
    about="""
    Messages are published through the signed API, to one channel after the other; each delivery
    is audited. The requests cost a server more than the deliveries: with --batch there are fewer.
    """,
    load=Load,
    options=(
        count("--channels", 1000, "Channels."),
        count("--subscribers", 2, "Clients subscribed to each."),
        rate("--rate", 500, "Messages published a second, over all channels.", unbounded=True),
        count("--batch", 1, "Messages of a request; more than one by batch_events."),
        message_bytes(),
        count("--publishers", 8, "Connections that publish."),
        transport(),
        http_path(),
        *window(),
        generators(),
    ),
    metrics=lambda load: METRICS,
    run=run,
    p99="p99_ms",
    audited=True,
    requests=True,
)
