"""``callboard schedules``: tasks and events at times to come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from callboard.commands import output
from callboard.commands.calling import EXIT_STATUS, call, each, json_option, url_option
from callboard.commands.parameters import duration, task_fields, task_options, time
from callboard_client.clock import unix_time

if TYPE_CHECKING:
    from callboard_scheduler.client.async_client import AsyncClient

#: What one call of the API takes.
MOST_PREVIEWED: Final = 1_000
_HEADS: Final = ("ID", "WHEN", "WHAT", "PAUSED", "NEXT", "LAST")


@click.group(epilog=EXIT_STATUS)
def schedules() -> None:
    """Submit tasks and publish events at times to come."""


@schedules.command(epilog=EXIT_STATUS)
@click.argument("schedule_id", metavar="ID")
@click.option("--cron", metavar="EXPR", help="Five fields, or six with seconds first.")
@click.option("--timezone", metavar="ZONE", help="Of --cron, such as Europe/Berlin. [default: UTC]")
@click.option("--every", type=duration, metavar="DURATION", help="At this interval.")
@click.option("--at", type=time, metavar="TIME", help="Once, then.")
@click.option(
    "--misfire",
    type=click.Choice(["skip", "latest", "all"]),
    help="What of the times that were missed while no scheduler ran. [default: latest]",
)
@click.option(
    "--overlap",
    type=click.Choice(["allow", "skip", "queue", "cancel"]),
    help="What if the last task has not ended. [default: allow]",
)
@click.option("--jitter", type=duration, metavar="DURATION", help="Spread over this much time.")
@click.option("--paused", is_flag=True, help="Do not fire until it is resumed.")
@click.option("--task", metavar="NAME", help="Submit a task of this name, with the options below.")
@click.option("--event", metavar="NAME", help="Publish an event of this name.")
@click.option("--channel", multiple=True, metavar="NAME", help="Where; may be given again.")
@click.option("--data", metavar="TEXT", help="What; most often JSON.")
@task_options
@json_option
@url_option
def put(
    schedule_id: str,
    cron: str | None,
    timezone: str | None,
    every: int | None,
    at: int | str | None,
    misfire: str | None,
    overlap: str | None,
    jitter: int | None,
    paused: bool,
    task: str | None,
    event: str | None,
    channel: tuple[str, ...],
    data: str | None,
    as_json: bool,
    url: str,
    **given: Any,
) -> None:
    """Add a schedule, or replace the one with this id.

    When: --cron, --every or --at. What: --task, or --event with --channel and --data.
    """
    if sum(when is not None for when in (cron, every, at)) != 1:
        raise click.UsageError("Say when: one of --cron, --every and --at.")
    options: dict[str, Any] = {
        "cron": cron,
        "timezone": timezone,
        "every_ms": every,
        "at": at,
        "misfire": misfire,
        "overlap": overlap,
        "jitter_ms": jitter,
        "paused": paused or None,
        **_what(task, event, channel, data, task_fields(given)),
    }

    async def work(client: AsyncClient) -> None:
        _show(await client.schedules.put(schedule_id, **options), as_json)

    call(url, work)


@schedules.command("list", epilog=EXIT_STATUS)
@json_option
@url_option
def list_(as_json: bool, url: str) -> None:
    """List all schedules."""

    async def work(client: AsyncClient) -> None:
        found = await client.schedules.list()
        if as_json:
            output.document({"schedules": found})
        else:
            now_ms = unix_time() * 1000
            output.table(_HEADS, [_row(each, now_ms) for each in found], "No schedules.")

    call(url, work)


@schedules.command(epilog=EXIT_STATUS)
@click.argument("schedule_id", metavar="ID")
@json_option
@url_option
def show(schedule_id: str, as_json: bool, url: str) -> None:
    """Show a schedule."""

    async def work(client: AsyncClient) -> None:
        _show(await client.schedules.get(schedule_id), as_json)

    call(url, work)


@schedules.command(epilog=EXIT_STATUS)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@url_option
def delete(ids: tuple[str, ...], as_json: bool, url: str) -> None:
    """Remove schedules; what they have submitted goes on."""

    async def work(client: AsyncClient) -> int:
        async def one(schedule_id: str) -> None:
            await client.schedules.delete(schedule_id)
            if as_json:
                output.line_of_json({"id": schedule_id})
            else:
                click.echo(f"{output.printable(schedule_id)} deleted")

        return await each(ids, one)

    call(url, work)


@schedules.command(epilog=EXIT_STATUS)
@click.argument("schedule_id", metavar="ID")
@json_option
@url_option
def pause(schedule_id: str, as_json: bool, url: str) -> None:
    """Let a schedule fire no more until it is resumed."""

    async def work(client: AsyncClient) -> None:
        _show(await client.schedules.pause(schedule_id), as_json)

    call(url, work)


@schedules.command(epilog=EXIT_STATUS)
@click.argument("schedule_id", metavar="ID")
@json_option
@url_option
def resume(schedule_id: str, as_json: bool, url: str) -> None:
    """Let a schedule fire again."""

    async def work(client: AsyncClient) -> None:
        _show(await client.schedules.resume(schedule_id), as_json)

    call(url, work)


@schedules.command(epilog=EXIT_STATUS)
@click.argument("schedule_id", metavar="ID")
@click.option(
    "--count",
    type=click.IntRange(1, MOST_PREVIEWED),
    default=10,
    show_default=True,
    help="How many times.",
)
@json_option
@url_option
def preview(schedule_id: str, count: int, as_json: bool, url: str) -> None:
    """Say when a schedule fires next, as times of its zone, or of this machine's without one."""

    async def work(client: AsyncClient) -> None:
        zone = None if as_json else _zone(await client.schedules.get(schedule_id))
        runs = await client.schedules.preview(schedule_id, count)
        if as_json:
            output.document({"id": schedule_id, "runs": runs})
        else:
            for at_ms in runs:
                click.echo(output.moment(at_ms, zone))

    call(url, work)


def _what(
    task: str | None,
    event: str | None,
    channels: tuple[str, ...],
    data: str | None,
    fields: dict[str, Any],
) -> dict[str, Any]:
    if (task is None) == (event is None):
        raise click.UsageError("Say what: either --task or --event.")
    if task is not None:
        if channels or data is not None:
            raise click.UsageError("--channel and --data belong to --event.")
        return {"task": {"name": task, **fields}}
    if fields:
        raise click.UsageError("Options of tasks belong to --task.")
    if not channels or data is None:
        raise click.UsageError("--event needs --channel and --data.")
    return {"event": {"name": event, "channels": list(channels), "data": data}}


def _show(schedule: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        output.document(schedule)
        return
    zone = _zone(schedule)
    names = ("misfire", "overlap", "jitter_ms", "task", "event", "rev", "last_task")
    output.details(
        [
            ("id", schedule["id"]),
            ("when", _when(schedule)),
            ("text", schedule.get("text") or ""),
            ("paused", "yes" if schedule["paused"] else "no"),
            *((name, output.value(schedule.get(name))) for name in names),
            ("last", output.moment(schedule.get("last_at"), zone)),
            *(("next", output.moment(at_ms, zone)) for at_ms in schedule.get("next_runs", ())),
        ]
    )


def _zone(schedule: Mapping[str, Any]) -> str | None:
    """Return the zone that a schedule's times are meant in, None for any."""
    return (schedule.get("timezone") or "UTC") if schedule.get("cron") else None


def _when(schedule: Mapping[str, Any]) -> str:
    if schedule.get("cron"):
        return f"{schedule['cron']} ({schedule.get('timezone') or 'UTC'})"
    if schedule.get("every_ms"):
        return f"every {output.span(schedule['every_ms'])}"
    return f"once at {output.moment(schedule.get('at'))}"


def _row(schedule: Mapping[str, Any], now_ms: float) -> tuple[str, ...]:
    what = schedule.get("task") or schedule.get("event") or {}
    next_at, last_at = schedule.get("next_at"), schedule.get("last_at")
    return (
        schedule["id"],
        _when(schedule),
        f"{'task' if schedule.get('task') else 'event'} {what.get('name', '')}",
        "paused" if schedule["paused"] else "",
        f"in {output.span(next_at - now_ms)}" if next_at and not schedule["paused"] else "",
        f"{output.span(now_ms - last_at)} ago" if last_at else "",
    )
