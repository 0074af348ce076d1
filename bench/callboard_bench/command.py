"""The command of a scenario: its flags, and a run of what they say."""

from __future__ import annotations

import shlex
from dataclasses import asdict, fields
from functools import partial
from inspect import cleandoc
from typing import Any, Final

import click

from callboard_bench.clients.link import WS
from callboard_bench.conventions import EPILOG
from callboard_bench.options import Sectioned, choice, output, run_options, target_options
from callboard_bench.process import raise_open_files_limit
from callboard_bench.rounds import Result, Round
from callboard_bench.run import Run, run
from callboard_bench.scenario import Scenario
from callboard_bench.targets.selection import contenders
from callboard_bench.targets.started import CALLBOARD
from callboard_bench.targets.target import Contender
from callboard_bench.targets.urls import without_secrets

_OPEN_FILES_RESERVE: Final = 200
_ARGUMENTS: Final = "callboard_bench.arguments"


class BenchCommand(Sectioned):
    """Remembers what was typed, to print how a result can be had again."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS] = without_secrets(args)
        return super().parse_args(ctx, args)


def repeatable(context: click.Context) -> str:
    """Return the command line of a context, without secrets."""
    return shlex.join(["callboard", "bench", str(context.info_name), *context.meta[_ARGUMENTS]])


def scenario_command(scenario: Scenario[Any], summary: str) -> click.Command:
    """Return a scenario's command."""
    floors = ", ".join(each.name for each in scenario.floors)
    known = f" next to the floor; --compare can start {floors} and {CALLBOARD}" if floors else ""
    servers = f"Without --url or --server it measures a `callboard serve` that it starts{known}."

    @click.pass_context
    def command(context: click.Context, /, **given: Any) -> None:
        context.exit(_run(scenario, context, given))

    return BenchCommand(
        scenario.name,
        callback=command,
        help="\n\n".join([summary, servers, cleandoc(scenario.about)]),
        epilog=EPILOG,
        sections=[
            ("Load", scenario.options),
            ("Servers", target_options()),
            (
                "Run",
                run_options(
                    p99=bool(scenario.p99),
                    audited=scenario.audited,
                    requests=scenario.requests,
                ),
            ),
        ],
    )


def _run(scenario: Scenario[Any], context: click.Context, given: dict[str, Any]) -> int:
    try:
        load = scenario.load(**{field.name: given[field.name] for field in fields(scenario.load)})
        # The floors speak WebSocket and nothing else.
        floors = scenario.floors if given.get("transport", WS) == WS else ()
        chosen = contenders(choice(given), floors)
    except ValueError as error:
        raise click.UsageError(f"{error}.", context) from None
    _check_open_files(load.open_files(), context)

    async def measure(contender: Contender, under_way: Run) -> Round:
        async with contender.open() as target:
            found = await scenario.run(target, load, under_way.display)
        if target.warning:
            found.warnings.insert(0, target.warning)
        return found

    async def measure_all(under_way: Run) -> None:
        options = {**asdict(load), "rounds": given["rounds"]}
        result = Result(scenario.name, load.setting(), options, scenario.metrics(load))
        under_way.begin(result, chosen)
        for contender in chosen:
            if contender.check is not None:
                await contender.check()
        await under_way.rounds(
            result, chosen, given["rounds"], partial(measure, under_way=under_way)
        )

    return run(measure_all, output(given, p99=scenario.p99, command=repeatable(context)))


def _check_open_files(connections: int, context: click.Context) -> None:
    needed, limit = _OPEN_FILES_RESERVE + connections, raise_open_files_limit()
    if needed > limit:
        raise click.UsageError(
            f"a process may open {limit} files and this needs {needed}: ask for fewer "
            "connections, or raise the hard limit, which `ulimit -Hn` shows.",
            context,
        )
