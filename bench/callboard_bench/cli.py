"""What is typed: ``callboard bench SCENARIO``.

A scenario is a line of :data:`SCENARIOS`; its module is imported when it is named. The exit
status is the same for all: 0 measured; 1 a fault, or a limit that was missed; 2 wrong usage;
130 interrupted, after what was measured is printed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final, NamedTuple

import click

from callboard_bench.exit_status import EPILOG


class Listed(NamedTuple):
    """A scenario: its summary, and where it is defined."""

    summary: str
    module: str
    #: A :class:`~callboard_bench.scenario.Scenario`, or a command of its own.
    attribute: str = "SCENARIO"


SCENARIOS: Final = {
    "fanout": Listed("One publisher, many subscribers of one channel.", "scenarios.fanout"),
    "channels": Listed("Many channels, few subscribers each.", "scenarios.channels"),
    "trigger": Listed("Signed requests to the HTTP API.", "scenarios.trigger"),
    "connect": Listed("Rate of connections, and memory per idle one.", "scenarios.connect"),
    "presence": Listed("A storm of joins and leaves.", "scenarios.presence"),
    "client-events": Listed("From socket to socket.", "scenarios.client_events"),
    "churn": Listed("Subscribe and unsubscribe.", "scenarios.churn"),
    "mixed": Listed("All of these at once.", "scenarios.mixed"),
    "scheduler": Listed("Tasks: latency, throughput, losses.", "scheduler.command", "COMMAND"),
}


class _Scenarios(click.Group):
    """Imports a scenario's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*SCENARIOS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        listed = SCENARIOS.get(cmd_name)
        if listed is None:
            return super().get_command(ctx, cmd_name)
        found = getattr(import_module(f"callboard_bench.{listed.module}"), listed.attribute)
        if isinstance(found, click.Command):
            return found
        from callboard_bench.command import scenario_command

        return scenario_command(found, listed.summary)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, listed.summary) for name, listed in SCENARIOS.items()]
        for name in super().list_commands(ctx):
            command = super().get_command(ctx, name)
            if command is not None:
                rows.append((name, command.get_short_help_str(60)))
        with formatter.section("Scenarios"):
            formatter.write_dl(rows)


@click.group(
    cls=_Scenarios,
    epilog=EPILOG,
    options_metavar="",
    subcommand_metavar="SCENARIO [OPTIONS]",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def bench() -> None:
    """Load-test a server that speaks the Pusher Channels protocol.

    \b
    `callboard serve` next to the floor, the least a server can do; both are started:
      callboard bench fanout
    A server that runs already:
      callboard bench fanout --url http://KEY:SECRET@127.0.0.1:6001/apps/ID
    One that is started for each round:
      callboard bench fanout --server "callboard serve --port 6002" --url ...
    Next to others, in the same rounds:
      callboard bench fanout --compare soketi=http://KEY:SECRET@127.0.0.1:6003/apps/ID

    `callboard bench SCENARIO --help` lists the options of one.
    """
