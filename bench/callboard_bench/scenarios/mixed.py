"""Everything at once: fan-out, channels, client events, presence, churn and triggers.

A profile says how many clients do what, and how often each of them does it is fixed, so a
profile is a kind of application and its numbers are its size. Every part is audited as in the
scenario of its name, and timed from the moment at which something was due.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import click

from callboard_bench.clients import audience, churn, groups, presence
from callboard_bench.clients.audience import AudienceSpec
from callboard_bench.clients.link import HTTP_PATH, TRANSPORTS, Wire
from callboard_bench.clients.part import Findings, Spec
from callboard_bench.generator import divided
from callboard_bench.recording import Recorded
from callboard_bench.rounds import SHARES, Metric, Round, Watch
from callboard_bench.sampler import RSS
from callboard_bench.scenario import Flag, Scenario, choice, generators, window
from callboard_bench.scenarios import churn as churn_scenario
from callboard_bench.scenarios import client_events as client_events_scenario
from callboard_bench.scenarios import presence as presence_scenario
from callboard_bench.scenarios.delivery import http_path, over, transport
from callboard_bench.scenarios.parts import Length, as_round, loaders, measured, run_name
from callboard_bench.targets.target import Target

_MESSAGE_BYTES: Final = 220
#: Messages a second to the channel of the fan-out, and to each channel of a few.
_FANOUT_RATE: Final = 5.0
_CHANNEL_RATE: Final = 0.2
_SUBSCRIBERS: Final = 2
#: Sockets of a group of client events, and events a second of each.
_GROUP: Final = 4
_CLIENT_EVENT_RATE: Final = 1.0
#: Members of a presence channel, and joins a second of each channel.
_ROOM: Final = 20
_JOIN_RATE: Final = 0.5
#: Changes of channel a second of each client, and channels for each.
_CHANGE_RATE: Final = 0.2
_CHANNELS_FOR_EACH: Final = 2

_ADVICE: Final = (client_events_scenario.ADVICE, presence_scenario.ADVICE)


class Kind(NamedTuple):
    """A part: what its figures are called, and which of its latencies counts."""

    per_second: str
    timed: str
    latency: str


KINDS: Final = {
    "fanout": Kind("fan-out: deliveries", audience.LATENCY, "fan-out: latency"),
    "channels": Kind("channels: deliveries", audience.LATENCY, "channels: latency"),
    "triggers": Kind("triggers: requests", audience.ANSWER, "triggers: answer"),
    "client_events": Kind("client events: deliveries", groups.LATENCY, "client events: latency"),
    "presence": Kind("presence: joins", presence.SEEN, "presence: join to all have heard"),
    "churn": Kind("churn: changes", churn.SUBSCRIBE, "churn: change to its answer"),
}

#: How many clients do what; of the triggers, how many a second there are.
PROFILES: Final = {
    "chat": {
        "fanout": 200,
        "channels": 0,
        "triggers": 50,
        "client_events": 400,
        "presence": 300,
        "churn": 100,
    },
    "dashboard": {
        "fanout": 500,
        "channels": 400,
        "triggers": 100,
        "client_events": 0,
        "presence": 0,
        "churn": 100,
    },
}


@dataclass(frozen=True, slots=True)
class Load:
    """How many clients do what; None is the profile's number.

    Raises:
        ValueError: nobody does anything, or a part is too small for what it does.
    """

    profile: str = "chat"
    fanout: int | None = None
    channels: int | None = None
    triggers: int | None = None
    client_events: int | None = None
    presence: int | None = None
    churn: int | None = None
    transport: str = TRANSPORTS[0]
    http_path: str = HTTP_PATH
    seconds: float = 5.0
    warm_up: float = 1.0
    generators: int = 1

    def __post_init__(self) -> None:
        if not self.sizes:
            raise ValueError("nobody does anything: give one of the numbers, such as --fanout 100")
        least = {"channels": _SUBSCRIBERS, "client_events": _GROUP, "presence": _ROOM}
        for name, size in self.sizes.items():
            if size < least.get(name, 1) * self.generators:
                flag, fewest = name.replace("_", "-"), least.get(name, 1)
                raise ValueError(
                    f"--{flag} is 0, or at least {fewest} for each generator, not {size}"
                )

    @property
    def sizes(self) -> dict[str, int]:
        """The parts that there are, and how many clients each has."""
        given = {name: getattr(self, name) for name in KINDS}
        sizes = {
            name: PROFILES[self.profile][name] if size is None else size
            for name, size in given.items()
        }
        return {name: size for name, size in sizes.items() if size}

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return sum(size for name, size in self.sizes.items() if name != "triggers")

    def setting(self) -> str:
        words = {name: KINDS[name].per_second.partition(":")[0] for name in self.sizes}
        parts = [
            f"{size:,} triggers/s" if name == "triggers" else f"{size:,} {words[name]}"
            for name, size in self.sizes.items()
        ]
        clients = f"{self.connections:,} clients{over(self.transport)}"
        return f"{clients} ({', '.join(parts)}) for {self.seconds:g} s"

    def open_files(self) -> int:
        return self.connections + len(self.sizes) * self.generators


def metrics(load: Load) -> Sequence[Metric]:
    """Return the lines of the table for the parts that there are."""
    lines = []
    for name in load.sizes:
        kind = KINDS[name]
        lines.append(Metric(f"{name}_per_second", f"{kind.per_second} per second", 1))
        lines.append(Metric(f"{name}_p99_ms", f"{kind.latency} p99, ms", 2, better="lower"))
    return (
        *lines,
        Metric("worst_p99_ms", "worst of these p99, ms", 2, better="lower"),
        Metric("rss_mib", "server RSS at the end, MiB", 1, better="lower"),
        *SHARES[:2],
    )


async def run(target: Target, load: Load, watch: Watch) -> Round:
    """Run one round."""
    prefix = run_name()
    parts = _specs(target, load, prefix)
    watch.phase("connecting", load.connections)
    async with loaders(load.generators) as processes:
        of_each = [[spec for (spec,) in column] for column in zip(*parts.values(), strict=True)]
        length = Length(load.warm_up, load.seconds)
        done = await measured(target, processes, of_each, length, watch, _ADVICE)
        wrong: list[str] = []
        if "churn" in parts:
            watch.phase("asking who is where")
            wrong, tally = await churn_scenario.afterwards(target, processes, prefix)
            done.findings[-1].tally.merge(tally)
    found = dict(zip(parts, done.findings, strict=True))
    timed = {name: _timed(name, findings) for name, findings in found.items()}
    values = {
        f"{name}_per_second": len(recorded.latencies) / load.seconds
        for name, recorded in timed.items()
    }
    values |= {
        f"{name}_p99_ms": recorded.latencies.percentile(99) / 1000
        for name, recorded in timed.items()
    }
    p99s = [values[f"{name}_p99_ms"] for name in timed]
    values["worst_p99_ms"] = max((p99 for p99 in p99s if not math.isnan(p99)), default=math.nan)
    values["rss_mib"] = next(reversed(done.series.get(RSS, [])), math.nan)
    result = as_round(done, values, wrong)
    result.curves = {KINDS[name].latency: recorded.latencies for name, recorded in timed.items()}
    merged = Recorded()
    for recorded in timed.values():
        merged.merge(recorded)
    result.timeline = done.timeline(merged)
    return result


def _timed(name: str, findings: Findings) -> Recorded:
    return findings.times.get(KINDS[name].timed, Recorded())


def _specs(target: Target, load: Load, prefix: str) -> dict[str, list[list[Spec]]]:
    """Return the parts in their order, each with the specs of every generator."""
    specs: dict[str, list[list[Spec]]] = {}
    before = 0
    for name, size in load.sizes.items():
        specs[name] = _part(target, load, prefix, name, before)
        before += 0 if name == "triggers" else size
    return specs


def _part(target: Target, load: Load, prefix: str, name: str, before: int) -> list[list[Spec]]:
    size = load.sizes[name]
    common = (load.transport, load.http_path, load.seconds, load.warm_up, load.generators)
    if name == "client_events":
        count = size // _GROUP
        events = client_events_scenario.Load(
            count, _GROUP, _CLIENT_EVENT_RATE, False, _MESSAGE_BYTES, *common
        )
        return client_events_scenario.specs_of(target, events, before)
    if name == "presence":
        rooms = size // _ROOM
        joins = presence_scenario.Load(rooms, _ROOM, rooms * _JOIN_RATE, *common)
        return presence_scenario.specs_of(target, joins, before)
    if name == "churn":
        changes = churn_scenario.Load(size, size * _CHANNELS_FOR_EACH, size * _CHANGE_RATE, *common)
        return churn_scenario.specs_of(target, changes, prefix, before)
    return _audiences(target, load, prefix, name, before)


def _audiences(target: Target, load: Load, prefix: str, name: str, before: int) -> list[list[Spec]]:
    """Return those of fan-out, whose channel each generator has for itself, channels, triggers."""
    # Not a name of the churn's, whose channels are looked at afterwards.
    prefix = run_name()
    specs: list[list[Spec]] = []
    for number, share in enumerate(divided(load.sizes[name], load.generators)):
        wire = Wire.to(target, load.transport, load.http_path, before)
        channels, subscribers, rate = [f"{prefix}-{name}-{number}"], share, _FANOUT_RATE
        if name == "triggers":
            subscribers, rate = 0, float(share)
        elif name == "channels":
            channels = [f"{channels[0]}-{each}" for each in range(share // _SUBSCRIBERS)]
            subscribers, rate = _SUBSCRIBERS, len(channels) * _CHANNEL_RATE
        spec = AudienceSpec(
            wire, target.app, target.api, channels, subscribers, rate, _MESSAGE_BYTES
        )
        specs.append([spec])
        before += len(channels) * subscribers
    return specs


def _size(flag: str, meaning: str) -> Flag:
    return Flag(
        [flag],
        type=click.IntRange(min=0),
        default=None,
        show_default="the profile's",
        metavar="N",
        help=meaning,
    )


SCENARIO: Final = Scenario(
    name="mixed",
    about="""
    Clients of several kinds at once, as in a chat or behind a dashboard; each part is audited and
    timed as in the scenario of its name. A profile sets the numbers, and each can be set apart; 0
    leaves a part out.
    """,
    load=Load,
    options=(
        choice("--profile", tuple(PROFILES), "What the numbers are unless they are given."),
        _size("--fanout", "Subscribers of one channel, which gets 5 messages/s."),
        _size("--channels", "Subscribers of channels of 2, each with a message in 5 s."),
        _size("--triggers", "Requests a second to a channel without subscribers."),
        _size("--client-events", "Sockets in groups of 4; each sends an event a second."),
        _size("--presence", "Members of presence channels of 20, each with a join in 2 s."),
        _size("--churn", "Clients that change channels, each once in 5 s."),
        transport(),
        http_path(),
        *window(),
        generators(),
    ),
    metrics=metrics,
    run=run,
    p99="worst_p99_ms",
    audited=True,
    requests=True,
)
