"""``callboard token``: what lets somebody without the secret be a worker, or watch."""

from __future__ import annotations

import click

from callboard.commands.calling import json_option, open_client, url_option
from callboard.commands.parameters import duration


@click.command()
@click.option("--worker", metavar="ID", help="Its holder may be this worker; ID* for any such.")
@click.option("--name", multiple=True, metavar="NAME", help="… for tasks of this name only.")
@click.option(
    "--queue",
    multiple=True,
    metavar="NAME",
    help="… for tasks of this queue only; or without --worker, its holder may watch this queue.",
)
@click.option("--watch", multiple=True, metavar="ID", help="Its holder may watch this task, * all.")
@click.option("--fleet", is_flag=True, help="Its holder may watch the fleet.")
@click.option(
    "--ttl", type=duration, default="1h", show_default=True, help="For how long it is good."
)
@json_option
@url_option
def token(
    worker: str | None,
    name: tuple[str, ...],
    queue: tuple[str, ...],
    watch: tuple[str, ...],
    fleet: bool,
    ttl: int,
    as_json: bool,
    url: str,
) -> None:
    """Write a token for a worker, or for somebody who watches. Nobody is asked for it.

    \b
    callboard token --worker 'browser-*' --queue web --ttl 8h
    callboard token --watch '*' --fleet
    """
    try:
        made = open_client(url).token(
            worker=worker,
            names=name or None,
            queues=queue or None,
            watch=watch or None,
            fleet=fleet,
            ttl=ttl / 1000,
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    if as_json:
        from callboard.commands import output

        output.document({"token": made})
    else:
        click.echo(made)
