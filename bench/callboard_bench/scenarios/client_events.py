"""Client events: what one socket sends on a private channel, all others of the channel hear.

The protocol allows a connection 10 of them a second, so a load is many sockets rather than fast
ones. With ``--rate max`` a socket sends its next when all others have heard the last (a closed
loop), which finds the most that a server relays.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from callboard_bench.clients.groups import LATENCY, WRAPPING, GroupsSpec
from callboard_bench.clients.link import HTTP_PATH, TRANSPORTS, Wire
from callboard_bench.clients.part import Spec
from callboard_bench.generator import divided
from callboard_bench.recording import Recorded
from callboard_bench.rounds import SHARES, Metric, Round, Watch
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
from callboard_bench.scenarios.delivery import http_path, over, transport
from callboard_bench.scenarios.parts import (
    Advice,
    Length,
    as_round,
    loaders,
    measured,
    off_pace,
    percentiles,
    run_name,
)
from callboard_bench.stamps import smallest_message_bytes
from callboard_bench.targets.target import Target

METRICS: Final = (
    Metric("deliveries_per_second", "deliveries per second", 0, better="higher"),
    Metric("cpu_us", "server CPU per delivery, µs", 2, better="lower"),
    Metric("cpu_user_us", "  of which user", 2),
    Metric("cpu_system_us", "  of which system", 2),
    Metric("p50_ms", "latency p50, ms", 2, better="lower"),
    Metric("p99_ms", "latency p99, ms", 2, better="lower"),
    Metric("deliveries", "deliveries counted", 0, ratio=False),
    *SHARES[:2],
)

#: Client events a second that the protocol allows a connection; one more is refused with 4301.
_LIMIT: Final = 10

#: What to set where the server relays no client events, or not as many.
ADVICE: Final = Advice(
    re.compile(r"\b4301\b|client (event|messag)|rate limit", re.IGNORECASE),
    "see that the app relays client events and how many a second (Callboard: client_events and "
    "max_client_events_per_second; soketi: SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES and "
    "SOKETI_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SEC; Reverb: accept_client_events_from), "
    "or send fewer with --rate",
)


@dataclass(frozen=True, slots=True)
class Load:
    """``rate`` events a second of each socket, or each after the last where it is infinite.

    Raises:
        ValueError: more than the protocol allows, or a message without room for its stamp.
    """

    groups: int
    sockets: int
    rate: float
    over_limit: bool
    message_bytes: int
    transport: str = TRANSPORTS[0]
    http_path: str = HTTP_PATH
    seconds: float = 5.0
    warm_up: float = 1.0
    generators: int = 1

    def __post_init__(self) -> None:
        if self.rate > _LIMIT and not self.over_limit:
            raise ValueError(
                f"a connection may send {_LIMIT} client events a second by the protocol: lower "
                "--rate and raise --groups, or add --over-limit for a server that allows more"
            )
        smallest = smallest_message_bytes(f"private-{run_name()}-{self.groups}") + WRAPPING
        if self.message_bytes < smallest:
            raise ValueError(f"--message-bytes is at least {smallest}: the stamp needs room")

    def setting(self) -> str:
        events = "each its next event when all have heard the last (closed loop)"
        if not math.isinf(self.rate):
            events = f"{often(self.rate)} events/s of each"
        return (
            f"{self.groups:,} private channels of {self.sockets} sockets{over(self.transport)}, "
            f"{events}, "
            f"{self.message_bytes} bytes, for {self.seconds:g} s"
        )

    def open_files(self) -> int:
        return self.groups * self.sockets

    @property
    def offered(self) -> float:
        """Deliveries a second that the schedule asks for."""
        return self.groups * self.sockets * (self.sockets - 1) * self.rate


async def run(target: Target, load: Load, watch: Watch) -> Round:
    """Run one round."""
    watch.phase("connecting", load.open_files())
    specs = specs_of(target, load)
    async with loaders(len(specs)) as processes:
        length = Length(load.warm_up, load.seconds)
        done = await measured(target, processes, specs, length, watch, [ADVICE])
    recorded = done.findings[0].times.get(LATENCY, Recorded())
    received = done.counts.received
    values = {
        "deliveries_per_second": received / load.seconds,
        "cpu_us": done.per(received),
        "cpu_user_us": done.per(received, "user"),
        "cpu_system_us": done.per(received, "system"),
        **percentiles("", recorded),
        "deliveries": float(received),
    }
    result = as_round(done, values)
    result.timeline = done.timeline(recorded)
    offered = load.offered * load.seconds
    result.warnings += off_pace(done, received, offered, "raise --groups or --generators")
    return result


def specs_of(target: Target, load: Load, before: int = 0) -> list[list[Spec]]:
    """Divide the groups among the generators; ``before`` are connections of other parts."""
    prefix = f"private-{run_name()}"
    names = iter(f"{prefix}-{number}" for number in range(load.groups))
    specs: list[list[Spec]] = []
    for share in divided(load.groups, min(load.generators, load.groups)):
        wire = Wire.to(target, load.transport, load.http_path, before)
        channels = [next(names) for _ in range(share)]
        specs.append(
            [GroupsSpec(wire, target.app, channels, load.sockets, load.rate, load.message_bytes)]
        )
        before += share * load.sockets
    return specs


SCENARIO: Final = Scenario(
    name="client-events",
    about="""
    Groups of sockets on a private channel each send events to one another, and every socket
    audits each of the others. The app must allow client events.

    Its floor is a relay that writes each message to the other sockets and reads nothing of it.
    """,
    load=Load,
    options=(
        count("--groups", 500, "Private channels."),
        count("--sockets", 2, "Sockets on each.", least=2),
        rate("--rate", 5, "Events a second of each socket.", unbounded=True),
        switch("--over-limit", "Send more than 10 a second of a socket; the app must allow it."),
        message_bytes(),
        transport(),
        http_path(),
        *window(),
        generators(),
    ),
    metrics=lambda load: METRICS,
    run=run,
    floors=(Floor(("-m", "callboard_bench.relay_floor")),),
    p99="p99_ms",
    audited=True,
)
