"""``callboard scheduler``: schedule over a Pusher-compatible service elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from callboard.errors import CallboardError
from callboard_server.listeners import ListenError

_EPILOG = """\b
Exit status:
  0  ended as asked
  1  refused to start; stderr says why
  2  wrong usage"""


@click.command(epilog=_EPILOG)
@click.option(
    "--url",
    envvar="CALLBOARD_SERVICE",
    required=True,
    metavar="URL",
    help="http[s]://KEY:SECRET@HOST:PORT/apps/ID: the app of the service. Also from "
    "CALLBOARD_SERVICE, which other users of the machine cannot read.",
)
@click.option("--host", default="127.0.0.1", help="Address for calls. [default: 127.0.0.1]")
@click.option("--port", type=int, default=6002, metavar="PORT", help="[default: 6002]")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path(".callboard"),
    metavar="DIR",
    help="Where tasks are kept. [default: .callboard]",
)
@click.option(
    "--profile",
    type=click.Choice(["self-hosted", "hosted"]),
    default="self-hosted",
    help="What the service bears: `hosted` sends as little as can be. [default: self-hosted]",
)
@click.option("--pool", default="default", help="The workers' pool. [default: default]")
@click.option("--ws-host", metavar="HOST", help="Where the WebSocket is, if not there too.")
@click.option("--ws-port", type=int, metavar="PORT", help="Likewise its port.")
@click.option(
    "--look-seconds",
    type=click.FloatRange(min=0.05),
    default=5.0,
    metavar="SECONDS",
    help="How often workers that are in no pool are looked for. [default: 5]",
)
@click.option(
    "--address",
    metavar="URL",
    help="What workers reach this scheduler at, for large arguments and results. "
    "[default: http://HOST:PORT]",
)
@click.option(
    "--ports-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help='Write JSON {"host","port"} there as soon as calls are taken.',
)
def scheduler(
    url: str,
    host: str,
    port: int,
    data: Path,
    profile: str,
    pool: str,
    ws_host: str | None,
    ws_port: int | None,
    look_seconds: float,
    address: str | None,
    ports_file: Path | None,
) -> None:
    """Schedule tasks for an app of any Pusher-compatible service.

    The app must allow client events. A `callboard serve` has a scheduler of its own and needs
    none beside it, unless it was started with `--no-scheduler`.
    """
    from callboard.remote_scheduling import Remote, run

    remote = Remote(url, host, port, data, profile, pool, ws_host, ws_port, look_seconds, address)
    try:
        run(remote, ports_file)
    except (CallboardError, ListenError) as error:
        raise click.ClickException(str(error)) from None
