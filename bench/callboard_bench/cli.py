"""What is typed: ``callboard bench SCENARIO``.

A scenario is a line of :data:`SCENARIOS`; its module is imported when it is named. The exit
status is the same for all: 0 measured; 1 a fault, or a limit that was missed; 2 wrong usage;
130 interrupted, after what was measured is printed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, NamedTuple

import click

from callboard_bench.conventions import CONTEXT, EPILOG

_HERE: Final = "callboard_bench"


class Listed(NamedTuple):
    """A scenario: its summary, and the module that defines it."""

    summary: str
    module: str
    #: A :class:`~callboard_bench.scenario.Scenario`, or a command of its own.
    attribute: str = "SCENARIO"


SCENARIOS: Final = {
    "fanout": Listed(
        "One publisher, many subscribers of one channel.", f"{_HERE}.scenarios.fanout"
    ),
    "channels": Listed("Many channels, few subscribers each.", f"{_HERE}.scenarios.channels"),
    "trigger": Listed("Signed requests to the HTTP API.", f"{_HERE}.scenarios.trigger"),
    "connect": Listed(
        "Rate of connections, and memory per idle one.", f"{_HERE}.scenarios.connect"
    ),
    "presence": Listed("A storm of joins and leaves.", f"{_HERE}.scenarios.presence"),
    "client-events": Listed("From socket to socket.", f"{_HERE}.scenarios.client_events"),
    "churn": Listed("Subscribe and unsubscribe.", f"{_HERE}.scenarios.churn"),
    "mixed": Listed("All of these at once.", f"{_HERE}.scenarios.mixed"),
    "scheduler": Listed(
        "Tasks: latency, throughput, losses.", f"{_HERE}.scheduler.command", "COMMAND"
    ),
}


class Scenarios(click.Group):
    """Imports a scenario's module when it is asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: By what is typed; whoever may import more than the bench may add to it.
        self.listed = dict(SCENARIOS)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        listed = self.listed.get(cmd_name)
        if listed is None:
            return None
        found = getattr(import_module(listed.module), listed.attribute)
        if isinstance(found, click.Command):
            return found
        from callboard_bench.command import scenario_command

        return scenario_command(found, listed.summary)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.listed:
            ctx.fail(f"there is no scenario {args[0]!r}; there are: {', '.join(self.listed)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Scenarios"):
            formatter.write_dl([(name, each.summary) for name, each in self.listed.items()])


@click.group(
    cls=Scenarios,
    epilog=EPILOG,
    options_metavar="",
    subcommand_metavar="SCENARIO [OPTIONS]",
    context_settings=CONTEXT,
)
def bench() -> None:
    """Load-test a server that speaks the Pusher Channels protocol.

    \b
    `callboard serve` next to the floor, the least a server can do; both are started:
      callboard bench fanout
    A server that runs already:
      callboard bench fanout --url http://KEY:SECRET@127.0.0.1:6001/apps/ID
    One that is started for each round:
      callboard bench fanout --server "soketi start" \\
        --url http://KEY:SECRET@127.0.0.1:6001/apps/ID
    Next to others, in the same rounds:
      callboard bench fanout --compare soketi=http://KEY:SECRET@127.0.0.1:6003/apps/ID

    `callboard bench SCENARIO --help` lists the options of one.
    """
