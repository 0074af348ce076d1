"""``callboard worker MODULE:WORKER``: run the tasks of a worker that a module defines."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from callboard.commands.calling import url_option

if TYPE_CHECKING:
    from callboard_scheduler.worker.worker import Worker

_EXIT_STATUS: Final = """\b
Exit status:
  0        left in order: asked by a signal or by the scheduler
  1        refused; stderr says why
  2        wrong usage, or no such worker
  130,143  a second SIGINT or SIGTERM: gone at once"""


@click.command(epilog=_EXIT_STATUS)
@click.argument("worker", metavar="MODULE:WORKER")
@url_option
@click.option(
    "--token",
    envvar="CALLBOARD_TOKEN",
    metavar="TOKEN",
    help="In place of the secret, from `callboard token`; --url is then http://HOST:PORT. "
    "Also from CALLBOARD_TOKEN.",
)
@click.option(
    "--id", "worker_id", metavar="ID", help="In place of the module's, or of one by chance."
)
@click.option("--slots", type=int, metavar="N", help="In place of the module's.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="In place of the module's.")
@click.option(
    "--drain",
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running tasks may take to end once the worker is asked to leave.",
)
@click.option("--foreign", is_flag=True, help="The service is not Callboard's own.")
def worker(
    worker: str,
    url: str,
    token: str | None,
    worker_id: str | None,
    slots: int | None,
    queues: tuple[str, ...],
    drain: float,
    foreign: bool,
) -> None:
    """Run tasks with the functions of a worker, until SIGINT or SIGTERM.

    MODULE:WORKER names a module, which may be a file's in the working directory, and a
    `callboard_scheduler.Worker` in it. The first signal lets what runs end; a second one quits at
    once.
    """
    from callboard_scheduler.errors import BadToken
    from callboard_scheduler.worker.errors import NoTasks, WorkerRefused

    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    found = load(worker)
    try:
        found.change(id=worker_id, slots=slots, queues=list(queues) or None)
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    def ready(name: str) -> None:
        click.echo(found.introduction(name))

    try:
        found.run(url, token=token, foreign=foreign, drain_seconds=drain, on_ready=ready)
    except (ValueError, BadToken) as error:
        raise click.UsageError(str(error)) from None
    except (NoTasks, WorkerRefused) as error:
        raise click.ClickException(str(error)) from None


def load(place: str) -> Worker:
    """Return the worker that ``MODULE:WORKER`` names.

    Raises:
        click.UsageError: there is none; the text says what is there instead.
    """
    from callboard_scheduler.worker.worker import Worker

    name, colon, attribute = place.partition(":")
    if not name or not colon or not attribute:
        raise click.UsageError(f"{place!r} is no MODULE:WORKER, such as tasks:worker.")
    if name.endswith(".py"):
        raise click.UsageError(
            f"{name!r} is a file: write its module, {_module(name)}:{attribute}."
        )
    # As `python -m` does: what is in the working directory comes first.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name and not name.startswith(f"{error.name}."):
            raise
        raise click.UsageError(
            f"there is no module {error.name!r}, neither in the working directory nor installed."
        ) from None
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Worker):
        module = sys.modules[name]
        others = [key for key, value in vars(module).items() if isinstance(value, Worker)]
        hint = f"it has {', '.join(others)}" if others else "it has none"
        raise click.UsageError(f"{attribute!r} of module {name!r} is no Worker: {hint}.")
    return found


def _module(file: str) -> str:
    """Return what a file is called as a module of the working directory."""
    path = Path(os.path.relpath(file)).with_suffix("")
    return path.name if ".." in path.parts else ".".join(path.parts)
