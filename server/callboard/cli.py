"""What is typed: ``callboard COMMAND``.

The flags of `serve` and `check` come from the settings' structure. Whatever a command needs is
imported when it runs, so that ``--help`` and ``--version`` do not load the server.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from callboard.commands.fixture import fixture
from callboard.commands.record import record
from callboard.commands.replay import replay
from callboard.commands.scheduler import scheduler
from callboard.commands.schedules import schedules
from callboard.commands.tasks import tasks
from callboard.commands.token import token
from callboard.commands.worker import worker
from callboard.commands.workers import queues, workers
from callboard.configuration import flag_fields, load
from callboard.errors import CallboardError
from callboard.fields import Field
from callboard_protocol import __version__
from callboard_server.listeners import ListenError
from callboard_server.settings import Settings

_BENCH = "bench"

_EXIT_STATUS = """\b
Exit status:
  0  ended as asked
  1  refused to start; stderr says why
  2  wrong usage"""


def serving_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags of `serve`: one for each field, and where to find and put things."""
    for field in reversed(flag_fields()):
        command = _flag(field)(command)
    path = click.Path(path_type=Path)
    command = click.option(
        "--fd",
        type=click.IntRange(min=0),
        metavar="N",
        help="Listen on the socket with this number, which the process was started with.",
    )(command)
    command = click.option(
        "--ports-file",
        type=path,
        metavar="PATH",
        help='Write JSON {"host","port"} there as soon as the socket listens; with "tls_port" '
        'and "unix_socket" if there are any.',
    )(command)
    return click.option(
        "--config",
        type=path,
        metavar="FILE",
        help="TOML file with settings and [[apps]]; CALLBOARD_CONFIG names it too.",
    )(command)


def _flag(field: Field) -> Callable[[Callable[..., None]], Callable[..., None]]:
    help_text = f"{field.description} [default: {field.default_text}]"
    if field.switch:
        return click.option("/".join(field.flags), field.name, default=None, help=help_text)

    def value(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        given = None if text is None else field.from_text(text)
        if given is not None and (fault := field.fault(given)):
            raise click.BadParameter(f"{fault}.", context, parameter)
        return given

    return click.option(
        field.flag,
        field.name,
        metavar=(field.unit or field.name.rpartition("_")[2]).upper(),
        callback=value,
        help=help_text,
    )


class _Commands(click.Group):
    """The commands here, and the bench, which is loaded when it is typed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), _BENCH])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != _BENCH:
            return super().get_command(ctx, cmd_name)
        from callboard.commands.bench import bench

        return bench


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EXIT_STATUS,
)
@click.version_option(__version__, prog_name="callboard")
def main() -> None:
    """A self-hosted server for the Pusher Channels protocol."""


@main.command(epilog=_EXIT_STATUS)
@serving_flags
def serve(config: Path | None, ports_file: Path | None, fd: int | None, **flags: Any) -> None:
    """Serve until SIGINT or SIGTERM; SIGHUP reads the configuration again.

    Without configuration there is one development app, on this machine only. The first signal
    ends in order, with exit status 0; a second one quits at once, with 130 or 143.
    """

    def load_settings() -> Settings:
        return load(config, os.environ, flags)

    try:
        settings = load_settings()
        from callboard.serve import run

        run(
            settings,
            ports_path=ports_file,
            fd=fd,
            environment=os.environ,
            load=load_settings,
        )
    except (CallboardError, ListenError) as error:
        raise click.ClickException(str(error)) from None


@main.command(epilog=_EXIT_STATUS)
@serving_flags
def check(config: Path | None, ports_file: Path | None, fd: int | None, **flags: Any) -> None:
    """Say whether `serve` would start.

    Takes the same flags and reads the same sources. Nothing is started or left behind, and the
    port need not be free.
    """
    from callboard.check import check as check_settings

    try:
        settings = load(config, os.environ, flags)
        click.echo(check_settings(settings, ports_path=ports_file, fd=fd, environment=os.environ))
    except (CallboardError, ListenError) as error:
        raise click.ClickException(str(error)) from None


@main.command()
def config() -> None:
    """Print what can be configured, in Markdown."""
    from callboard.reference import reference

    click.echo(reference())


@main.command()
def demo() -> None:
    """Show the way of an event, and of tasks, in ten seconds.

    Starts a server and three workers on a free port. An event goes from the official library to a
    subscriber; tasks run, one worker is killed in the middle of one, another task is moved.
    """
    from callboard.demo import run

    raise SystemExit(run())


for command in (
    *(tasks, schedules, scheduler, worker, workers, queues, token),
    *(record, replay, fixture),
):
    main.add_command(command)
