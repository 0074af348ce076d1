"""``callboard record``: stand between clients and a service, and keep what passes."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from socket import socket

    from callboard.traffic.recorder import Recorder
    from callboard.traffic.writing import Sink

_EXIT_STATUS: Final = """\b
Exit status:
  0  ended by a signal; the recording is whole
  1  could not begin, or the file could not be written on; stderr says why
  2  wrong usage"""

_STDOUT: Final = Path("-")


def _address(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is no HOST:PORT, such as 127.0.0.1:7001.")
    return host.removeprefix("[").removesuffix("]"), int(port)


@click.command(epilog=_EXIT_STATUS)
@click.option(
    "--url",
    default="http://127.0.0.1:6001",
    show_default=True,
    metavar="URL",
    help="http[s]://HOST:PORT of the service, without key and secret.",
)
@click.option(
    "--listen",
    default="127.0.0.1:7001",
    show_default=True,
    metavar="HOST:PORT",
    callback=_address,
    help="Where clients and backends go in its place; port 0 takes a free one.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default=Path("traffic.jsonl"),
    show_default=True,
    metavar="FILE",
    help="Where the recording goes, - for standard output.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@click.option(
    "--redact-data",
    is_flag=True,
    help="Keep only the length of what applications say, and of users only their ids.",
)
def record(
    url: str, listen: tuple[str, int], out: Path, overwrite: bool, redact_data: bool
) -> None:
    """Record the traffic of a service, without its secrets, until SIGINT or SIGTERM.

    Clients and backends are pointed at this host and port in place of the service's: their
    WebSockets, HTTP fallbacks and API requests are passed on unchanged, signatures included.
    `callboard replay` plays the file into a server.
    """
    import asyncio

    from callboard import open_files
    from callboard.serve import log_to_stderr
    from callboard.traffic.errors import CannotRecord
    from callboard.traffic.proxy import bind, service_base

    log_to_stderr()
    open_files.raise_limit()
    try:
        base = service_base(url)
        with ExitStack() as stack:
            # First, so that one who cannot listen leaves the file alone.
            sockets = [stack.enter_context(sock) for sock in bind(*listen)]
            sink = _open(out, overwrite, stack)
            asyncio.run(_record(base, sockets, sink, out, keep_data=not redact_data))
    except CannotRecord as error:
        raise click.ClickException(str(error)) from None


def _open(out: Path, overwrite: bool, stack: ExitStack) -> Sink:
    """Return where lines go.

    Raises:
        CannotRecord: nothing can be written there, or something is there already.
    """
    from callboard.traffic.errors import CannotRecord

    if out == _STDOUT:
        # Unbuffered, as a line shall be out as soon as it is written.
        return stack.enter_context(open(sys.stdout.fileno(), "wb", buffering=0, closefd=False))
    try:
        return stack.enter_context(out.open("wb" if overwrite else "xb", buffering=0))
    except FileExistsError:
        raise CannotRecord(
            f"{out} is there already. Name another file with --out, or say --overwrite."
        ) from None
    except OSError as error:
        raise CannotRecord(f"Cannot write {out}: {error.strerror}.") from None


async def _record(
    base: str, sockets: Sequence[socket], sink: Sink, out: Path, *, keep_data: bool
) -> None:
    import asyncio

    from callboard.serve import Ending
    from callboard.traffic.errors import CannotRecord
    from callboard.traffic.proxy import Proxy
    from callboard.traffic.recorder import Recorder
    from callboard_server.clock import SystemClock

    loop = asyncio.get_running_loop()
    ending = Ending(loop)
    recorder = Recorder(
        sink, time=loop.time, started_ms=int(SystemClock().now() * 1000), keep_data=keep_data
    )
    recorder.failure.add_done_callback(lambda failure: ending.asked.set())
    try:
        async with Proxy(base, recorder, sockets) as proxy:
            _announce(base, proxy.address, out)
            looking = asyncio.create_task(_warn_if_absent(base))
            await ending.asked.wait()
            looking.cancel()
    finally:
        await recorder.close()
    if recorder.failure.done():
        reason = recorder.failure.result().strerror
        raise CannotRecord(f"Cannot write on {out}: {reason}. What came before is there.")
    click.echo(_summary(recorder, out), err=True)


def _announce(base: str, address: tuple[str, int], out: Path) -> None:
    host, port = address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    click.echo(f"Recording {base} into {out}.", err=out == _STDOUT)
    click.echo(f"Clients and backends go to http://{where} in its place.", err=out == _STDOUT)


async def _warn_if_absent(base: str) -> None:
    from callboard.traffic.reaching import why_absent

    why = await why_absent(base)
    if why is not None:
        click.echo(
            f"Warning: cannot reach {base}: {why}. Until it is there, all are answered 502.",
            err=True,
        )


def _summary(recorder: Recorder, out: Path) -> str:
    from callboard.traffic.outcome import counted

    return (
        f"{counted(recorder.connections, 'connection')}, {counted(recorder.frames, 'frame')} and "
        f"{counted(recorder.requests, 'API request')} are in {out}."
    )
