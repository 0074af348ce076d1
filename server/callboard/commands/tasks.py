"""``callboard tasks``: submit, look up, watch and change tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from callboard.commands import output
from callboard.commands.calling import (
    EXIT_STATUS,
    FAILED,
    TooLong,
    call,
    each,
    json_option,
    service_option,
    url_option,
)
from callboard.commands.parameters import (
    target,
    target_options,
    task_fields,
    task_options,
    wait_timeout_option,
)
from callboard.commands.task_rows import ATTEMPT_HEADS, HEADS, attempt_row, details, row
from callboard_client.clock import unix_time

if TYPE_CHECKING:
    from callboard_scheduler.client.async_client import AsyncClient
    from callboard_scheduler.client.async_task import AsyncTask

#: What --clear can take away.
_CLEARABLE: Final = ("after", "delay_ms", "limit_key", "retry", "start_by", "target", "timeout_ms")


@click.group(epilog=EXIT_STATUS)
def tasks() -> None:
    """Submit, look up, watch and change tasks."""


@tasks.command(epilog=EXIT_STATUS)
@click.argument("name")
@task_options
@click.option("--wait", is_flag=True, help="Wait for the result, and write it.")
@click.option("--watch", "live", is_flag=True, help="Show what happens to it until it ends.")
@wait_timeout_option
@json_option
@url_option
@service_option
def submit(
    name: str,
    wait: bool,
    live: bool,
    wait_timeout: int | None,
    as_json: bool,
    url: str,
    **given: Any,
) -> None:
    """Submit a task, and write its id once it is stored.

    Durations are like 250ms, 30s, 5m, 1h; times are ISO 8601 with a zone, or Unix milliseconds.
    """
    if wait_timeout is not None and not (wait or live):
        raise click.UsageError("--wait-timeout belongs to --wait or --watch.")
    fields = task_fields(given)
    args = fields.pop("args", None)

    async def work(client: AsyncClient) -> int | None:
        task = await client.submit(name, args, **fields)
        if live:
            return await _watched([task], as_json, wait_timeout)
        if wait:
            await _await(task, as_json, wait_timeout)
        elif as_json:
            output.document({"id": task.id, "state": task.state})
        else:
            click.echo(task.id)
        return None

    call(url, work)


@tasks.command("list", epilog=EXIT_STATUS)
@click.option("--state", multiple=True, help="Only tasks in this state; may be given again.")
@click.option("--queue", help="Only tasks of this queue.")
@click.option("--name", help="Only tasks of this name.")
@click.option("--schedule", help="Only tasks of this schedule.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most."
)
@click.option("--all", "everything", is_flag=True, help="All there are, whatever the limit.")
@json_option
@url_option
def list_(
    state: tuple[str, ...],
    queue: str | None,
    name: str | None,
    schedule: str | None,
    limit: int,
    everything: bool,
    as_json: bool,
    url: str,
) -> None:
    """List tasks, newest first."""

    async def work(client: AsyncClient) -> None:
        found: list[Mapping[str, Any]] = []
        listed = client.list(
            state=",".join(state) or None,
            queue=queue,
            name=name,
            schedule=schedule,
            page_size=1_000 if everything else min(limit, 1_000),
        )
        async for task in listed:
            found.append(task.record)
            if len(found) >= limit and not everything:
                break
        if as_json:
            output.document({"tasks": found})
        else:
            now_ms = unix_time() * 1000
            output.table(HEADS, [row(each, now_ms) for each in found], "No tasks.")

    call(url, work)


@tasks.command(epilog=EXIT_STATUS)
@click.argument("task_id", metavar="ID")
@json_option
@url_option
def show(task_id: str, as_json: bool, url: str) -> None:
    """Show a task with all its attempts."""

    async def work(client: AsyncClient) -> None:
        record = (await client.get(task_id)).record
        if as_json:
            output.document(record)
        else:
            output.details(details(record))
            if attempts := record.get("attempts"):
                click.echo()
                output.table(ATTEMPT_HEADS, [attempt_row(each) for each in attempts], "")

    call(url, work)


@tasks.command(epilog=EXIT_STATUS)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@wait_timeout_option
@json_option
@url_option
@service_option
def watch(ids: tuple[str, ...], wait_timeout: int | None, as_json: bool, url: str) -> None:
    """Show what happens to tasks until they have ended.

    Bars on a terminal, and lines elsewhere; with --json one object on each line.
    """

    import asyncio

    async def work(client: AsyncClient) -> int | None:
        found = await asyncio.gather(*(client.get(task_id) for task_id in dict.fromkeys(ids)))
        return await _watched(found, as_json, wait_timeout)

    call(url, work)


@tasks.command(epilog=EXIT_STATUS)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@url_option
def cancel(ids: tuple[str, ...], as_json: bool, url: str) -> None:
    """Cancel tasks; running ones are stopped."""

    async def work(client: AsyncClient) -> int:
        async def one(task_id: str) -> None:
            _changed(await client.cancel(task_id), as_json)

        return await each(ids, one)

    call(url, work)


@tasks.command(epilog=EXIT_STATUS)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@url_option
def retry(ids: tuple[str, ...], as_json: bool, url: str) -> None:
    """Begin tasks anew that have ended."""

    async def work(client: AsyncClient) -> int:
        async def one(task_id: str) -> None:
            _changed(await client.requeue(task_id), as_json)

        return await each(ids, one)

    call(url, work)


@tasks.command(epilog=EXIT_STATUS)
@click.argument("task_id", metavar="ID")
@target_options
@click.option("--anyone", is_flag=True, help="Any worker may run it.")
@json_option
@url_option
def move(
    task_id: str,
    worker: str | None,
    label: tuple[str, ...],
    anyone: bool,
    as_json: bool,
    url: str,
) -> None:
    """Give a task to another worker, also while it runs."""
    to = target(worker, label)
    if (to is None) != anyone:
        raise click.UsageError("Say where to: --worker ID, --label KEY=VALUE or --anyone.")

    async def work(client: AsyncClient) -> None:
        _changed(await client.move(task_id, **(to or {})), as_json)

    call(url, work)


@tasks.command(epilog=EXIT_STATUS)
@click.argument("task_id", metavar="ID")
@task_options
@click.option("--clear", multiple=True, type=click.Choice(_CLEARABLE), help="Take this away.")
@json_option
@url_option
def update(task_id: str, clear: tuple[str, ...], as_json: bool, url: str, **given: Any) -> None:
    """Change a task that has not ended: its time, its priority, what else is given.

    `--delay 0` means now.
    """
    changes = {**task_fields(given), **dict.fromkeys(clear)}
    if not changes:
        raise click.UsageError("Nothing to change: give at least one option.")

    async def work(client: AsyncClient) -> None:
        _changed(await client.update(task_id, **changes), as_json)

    call(url, work)


@tasks.command(epilog=EXIT_STATUS)
@click.argument("task_id", metavar="ID")
@json_option
@url_option
def why(task_id: str, as_json: bool, url: str) -> None:
    """Say why a task waits, or why it ran as often as it did."""

    async def work(client: AsyncClient) -> None:
        task = await client.get(task_id)
        reasons = await task.why()
        if as_json:
            output.document({"id": task.id, "state": task.state, "why": reasons})
        else:
            for reason in reasons:
                click.echo(output.printable(reason))

    call(url, work)


async def _watched(found: list[AsyncTask], as_json: bool, timeout_ms: int | None) -> int:
    from callboard.commands.watching import watch

    return FAILED if await watch(found, as_json=as_json, timeout_ms=timeout_ms) else 0


async def _await(task: AsyncTask, as_json: bool, timeout_ms: int | None) -> None:
    from callboard.commands.waiting import waiting
    from callboard_scheduler.client.errors import TaskError

    try:
        result = await waiting([task], task.result(), timeout_ms=timeout_ms)
    except (TaskError, TooLong) as error:
        if as_json:
            record = error.record if isinstance(error, TaskError) else (await task.refresh()).record
            output.document(record)
        raise
    if as_json:
        output.document(task.record)
    else:
        click.echo(output.json_text(result))


def _changed(task: AsyncTask, as_json: bool) -> None:
    if as_json:
        output.line_of_json(task.record)
    else:
        click.echo(f"{task.id} {task.state}")
