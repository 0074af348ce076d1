"""``callboard replay``: play recorded traffic into a server, and see whether it does the same."""

from __future__ import annotations

import math
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

import click

from callboard.commands.calling import FAILED, INTERRUPTED, json_option, url_option

if TYPE_CHECKING:
    from callboard.traffic.outcome import Outcome
    from callboard.traffic.replaying import Part, Progress

_EXIT_STATUS: Final = """\b
Exit status:
  0    played; with --check: and the service did as in the recording
  1    it did not, or nothing could be played; stderr says why
  2    wrong usage
  130  interrupted"""


def _speed(context: click.Context, parameter: click.Parameter, text: str) -> float:
    try:
        found = math.inf if text == "max" else float(text)
    except ValueError:
        found = 0.0
    if not found > 0:
        raise click.BadParameter(f"{text!r} is no speed: expected a number above 0, or max.")
    return found


@click.command(epilog=_EXIT_STATUS)
@click.argument("recording", type=click.Path(path_type=Path, dir_okay=False))
@url_option
@click.option(
    "--speed",
    default="1",
    show_default=True,
    metavar="FACTOR",
    callback=_speed,
    help="2 is twice as fast; max waits for nothing but what depends on one another.",
)
@click.option(
    "--only",
    type=click.Choice(["client", "api"]),
    help="Play the clients or the API requests alone.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Say what is missing, added or out of order, and exit with 1 if anything is.",
)
@click.option(
    "--key",
    metavar="KEY",
    help="Which app of the recording to play, if there are several.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for what the service had said by then.",
)
@click.option(
    "--i-own-this-server",
    is_flag=True,
    help="Play into a server that is not on this machine.",
)
@json_option
def replay(
    recording: Path,
    url: str,
    speed: float,
    only: Part | None,
    check: bool,
    key: str | None,
    patience: float,
    i_own_this_server: bool,
    as_json: bool,
) -> None:
    """Play a RECORDING of `callboard record` into a server.

    The same clients connect, subscribe and send, and the same API requests are made, signed with
    the secret in --url.

    \b
    callboard replay traffic.jsonl --url http://KEY:SECRET@127.0.0.1:6001/apps/ID --check
    """
    from callboard import open_files
    from callboard.traffic import replay as play
    from callboard.traffic.errors import TrafficError

    if check and only is not None:
        raise click.UsageError(
            "--check needs clients and API requests: --only plays a part, whose events are not all."
        )
    open_files.raise_limit()
    try:
        with _progress() as on_progress:
            outcome = play(
                recording,
                url,
                speed=speed,
                only=only,
                key=key,
                patience_seconds=patience,
                i_own_this_server=i_own_this_server,
                on_progress=on_progress,
            )
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--url") from None
    except TrafficError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo("Interrupted: all connections are closed.", err=True)
        sys.exit(INTERRUPTED)
    _report(outcome, check=check, as_json=as_json)
    if check and not outcome.same:
        sys.exit(FAILED)


def _report(outcome: Outcome, *, check: bool, as_json: bool) -> None:
    from callboard.commands import output

    if as_json:
        output.document(outcome.as_json())
        return
    for line in outcome.summary.splitlines():
        click.echo(output.printable(line))
    if check:
        for line in str(outcome).splitlines():
            click.echo(output.printable(line))


def _progress() -> AbstractContextManager[Progress]:
    if sys.stderr.isatty():
        return _Bar()
    return nullcontext(lambda played, records: None)


class _Bar:
    """A bar on a terminal: how much of the recording has been played."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._bars = RichProgress(
            TextColumn("playing"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar = self._bars.add_task("", total=None)

    def __enter__(self) -> Progress:
        self._bars.start()
        return self._show

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def _show(self, played: int, records: int) -> None:
        self._bars.update(self._bar, completed=played, total=records)
