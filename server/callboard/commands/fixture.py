"""``callboard fixture``: a Pusher server for the tests of an app in any language."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from callboard.fixture import FixtureServer
    from callboard.fixture.pages import Pages
    from callboard.parent import Parent
    from callboard.serve import Ending

_EXIT_STATUS: Final = """\b
Exit status:
  0  ended by a signal, or with the parent
  1  refused to start; stderr says why
  2  wrong usage"""


@click.command(epilog=_EXIT_STATUS)
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", help="0, a free one, if not said."
)
@click.option("--host", metavar="HOST", help="An address of this machine. [default: 127.0.0.1]")
@click.option("--app-id", metavar="ID", help="[default: 1]")
@click.option("--key", metavar="KEY", help="[default: test-key]")
@click.option("--secret", metavar="SECRET", help="[default: test-secret]")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="TOML file with settings, and [[apps]] if there is to be another one or several.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long waits wait that do not say so.",
)
@click.option(
    "--webhook-delays",
    is_flag=True,
    help="Let webhooks wait for clients that may come back, as in production.",
)
@click.option("--end-with-parent", is_flag=True, help="End when the process that started it does.")
def fixture(
    port: int | None,
    host: str | None,
    config: Path | None,
    timeout: float,
    webhook_delays: bool,
    end_with_parent: bool,
    **app: str | None,
) -> None:
    """Serve Pusher for tests, until SIGINT or SIGTERM.

    Prints one line of JSON once it listens: address, keys, options for SDKs, and under "fixture"
    the URL at which tests see what was published, wait for it, reset the server, and make faults.
    """
    import asyncio

    from callboard.parent import Parent

    # Before anything that takes its time: a parent that is gone by then is not missed.
    parent = Parent() if end_with_parent else None
    from callboard.errors import CallboardError
    from callboard.fixture import FixtureServer
    from callboard.fixture.pages import Pages
    from callboard_server.listeners import ListenError

    if isnan(timeout):  # which is in any range
        raise click.BadParameter("nan is no number of seconds.", param_hint="--timeout")
    pages = Pages()
    try:
        settings, apps = _read(config)
        named = {name.removeprefix("app_"): said for name, said in app.items() if said is not None}
        if named and apps:
            raise click.UsageError(
                f"{config} has [[apps]]: leave out --app-id, --key and --secret."
            )
        settings |= {
            name: said for name, said in (("host", host), ("port", port)) if said is not None
        }
        _check_host(settings)
        server = FixtureServer(
            apps=apps or [named],
            settings=settings,
            webhook_delays=webhook_delays,
            timeout=timeout,
            extensions=[pages],
        )
        asyncio.run(_serve(server, pages, parent))
    except (CallboardError, ListenError, ValueError) as error:
        raise click.ClickException(str(error)) from None


def _read(config: Path | None) -> tuple[dict[str, Any], Sequence[Mapping[str, Any]]]:
    """Return the settings of a file, and its apps."""
    from callboard import toml_file

    settings = dict(toml_file.read(config)) if config is not None else {}
    return settings, settings.pop("apps", ())


def _check_host(settings: Mapping[str, Any]) -> None:
    from callboard_server.loopback import is_loopback_host

    host = settings.get("host", "127.0.0.1")
    if not is_loopback_host(host):
        raise click.UsageError(
            f"{host!r} is no address of this machine alone: anybody could see what is tested, and "
            "disturb it. Expected 127.0.0.1, ::1 or localhost."
        )


async def _serve(server: FixtureServer, pages: Pages, parent: Parent | None) -> None:
    import asyncio

    from callboard.fixture.pages import about
    from callboard.serve import Ending

    loop = asyncio.get_running_loop()
    ending = Ending(loop)
    with server:
        pages.open(server)
        click.echo(json.dumps(about(server)))
        if parent is not None:
            parent.watch(loop, lambda: _end_with_parent(ending))
        await ending.asked.wait()


def _end_with_parent(ending: Ending) -> None:
    ending.asked.set()
    with suppress(OSError):  # Nobody may read stderr any more.
        click.echo("The process that started this one is gone: it ends too.", err=True)
