"""``callboard workers`` and ``callboard queues``: who does the tasks, and how many wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from callboard.commands import output
from callboard.commands.calling import EXIT_STATUS, call, each, json_option, url_option

if TYPE_CHECKING:
    from callboard_scheduler.client.async_client import AsyncClient

_WORKER_HEADS: Final = (
    *("ID", "STATE", "SLOTS", "FREE", "QUEUES", "TASKS", "LABELS", "HOST", "SDK", "SILENT"),
)
_COUNTS: Final = ("ready", "scheduled", "blocked", "assigned", "running", "stopping")


@click.command(epilog=EXIT_STATUS)
@json_option
@url_option
def workers(as_json: bool, url: str) -> None:
    """List the workers."""

    async def work(client: AsyncClient) -> None:
        found = await client.workers()
        if as_json:
            output.document({"workers": found})
        else:
            output.table(_WORKER_HEADS, [_worker_row(each) for each in found], "No workers.")

    call(url, work)


@click.group(invoke_without_command=True, epilog=EXIT_STATUS)
@json_option
@url_option
@click.pass_context
def queues(context: click.Context, as_json: bool, url: str) -> None:
    """List the queues that have tasks or workers, or pause and resume some."""
    if context.invoked_subcommand is not None:
        for name in ("url", "as_json"):
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                # Else the command behind would silently go by its own default.
                raise click.UsageError(f"Write options behind {context.invoked_subcommand}.")
        return

    async def work(client: AsyncClient) -> None:
        found = await client.queues()
        if as_json:
            output.document({"queues": found})
        else:
            heads = ("QUEUE", "PAUSED", *(name.upper() for name in _COUNTS), "WORKERS", "FREE")
            output.table(heads, [_queue_row(each) for each in found], "No queues.")

    call(url, work)


@queues.command(epilog=EXIT_STATUS)
@click.argument("names", metavar="QUEUE...", nargs=-1, required=True)
@json_option
@url_option
def pause(names: tuple[str, ...], as_json: bool, url: str) -> None:
    """Give out no more tasks of these queues; those that run go on."""

    async def work(client: AsyncClient) -> int:
        async def one(name: str) -> None:
            await client.pause_queue(name)
            _paused(name, True, as_json)

        return await each(names, one)

    call(url, work)


@queues.command(epilog=EXIT_STATUS)
@click.argument("names", metavar="QUEUE...", nargs=-1, required=True)
@json_option
@url_option
def resume(names: tuple[str, ...], as_json: bool, url: str) -> None:
    """Give out the tasks of these queues again."""

    async def work(client: AsyncClient) -> int:
        async def one(name: str) -> None:
            await client.resume_queue(name)
            _paused(name, False, as_json)

        return await each(names, one)

    call(url, work)


def _paused(name: str, paused: bool, as_json: bool) -> None:
    if as_json:
        output.line_of_json({"name": name, "paused": paused})
    else:
        click.echo(f"{output.printable(name)} {'paused' if paused else 'resumed'}")


def _worker_row(worker: Mapping[str, Any]) -> tuple[str, ...]:
    labels = worker.get("labels") or {}
    return (
        worker["id"],
        worker["state"],
        str(worker["slots"]),
        str(worker["free"]),
        ",".join(worker["queues"]),
        str(len(worker.get("tasks") or ())),
        " ".join(f"{key}={output.value(value)}" for key, value in labels.items()),
        worker.get("host") or "",
        worker.get("sdk") or "",
        output.span(worker.get("silent_ms") or 0),
    )


def _queue_row(queue: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        queue["name"],
        "paused" if queue["paused"] else "",
        *(str(queue.get(name, 0)) for name in (*_COUNTS, "workers", "free")),
    )
