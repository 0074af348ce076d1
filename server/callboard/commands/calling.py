"""One command's way to the scheduler, and what its exit status says.

People get a sentence on stderr for every refusal, scripts a status. No text has the secret.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

import click

from callboard_server.settings import (
    DEVELOPMENT_APP_ID,
    DEVELOPMENT_APP_KEY,
    DEVELOPMENT_APP_SECRET,
)

if TYPE_CHECKING:
    from callboard_scheduler.client.async_client import AsyncClient

FAILED: Final = 1
NOT_FOUND: Final = 3
UNREACHABLE: Final = 4
TOO_LONG: Final = 5
INTERRUPTED: Final = 130

EXIT_STATUS = """\b
Exit status:
  0    done; of waiting and watching: every task succeeded
  1    refused, or a task ended otherwise; stderr says why
  2    wrong usage
  3    there is no such task or schedule
  4    no scheduler can be reached
  5    not ended within --wait-timeout; nothing was given up
  130  interrupted"""

_URL_VARIABLES: Final = ("CALLBOARD_URL", "PUSHER_URL")
_SERVICE: Final = "callboard.service"
_DEVELOPMENT_URL: Final = (
    f"http://{DEVELOPMENT_APP_KEY}:{DEVELOPMENT_APP_SECRET}@127.0.0.1:6001"
    f"/apps/{DEVELOPMENT_APP_ID}"
)

_NO_SCHEDULER: Final = "\nDoes that server run with --no-scheduler?"
_ELSEWHERE: Final = "\nIs --url right? It may also come from CALLBOARD_URL or PUSHER_URL."
_NOT_RUNNING: Final = "\nIs `callboard serve` running there? Another place is named by --url."

Command = TypeVar("Command", bound=Callable[..., object])


class TooLong(Exception):
    """Tasks have not ended in the time given; they go on."""


def url_option(command: Command) -> Command:
    """Let a command be told where its scheduler is."""
    return click.option(
        "--url",
        envvar=_URL_VARIABLES,
        default=_DEVELOPMENT_URL,
        metavar="URL",
        help="http://KEY:SECRET@HOST:PORT/apps/ID of the app. Also from CALLBOARD_URL or "
        "PUSHER_URL. [default: the development app on 127.0.0.1:6001]",
    )(command)


def service_option(command: Command) -> Command:
    """Let a command that watches be told where to; :func:`open_client` finds it."""
    return click.option(
        "--service",
        envvar="CALLBOARD_SERVICE",
        metavar="URL",
        help="Where tasks are watched, like --url, if the scheduler there works over a service "
        "elsewhere. Also from CALLBOARD_SERVICE.",
        expose_value=False,
        callback=_keep_service,
    )(command)


def _keep_service(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    context.meta[_SERVICE] = value


def json_option(command: Command) -> Command:
    """Let a command write for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON, for scripts.")(command)


def open_client(url: str) -> AsyncClient:
    """Return a client that is not entered yet; a wrong URL is wrong usage."""
    from callboard_scheduler.client.async_client import AsyncClient

    service = click.get_current_context().meta.get(_SERVICE)
    try:
        return AsyncClient(url, service=service)
    except ValueError as error:
        hint = "--url or --service" if service else "--url"
        raise click.BadParameter(f"{error}.", param_hint=hint) from None


def call(url: str, work: Callable[[AsyncClient], Awaitable[int | None]]) -> None:
    """Run ``work(client)``, and exit with the status it returns, or with that of its error."""
    import asyncio

    client = open_client(url)

    async def run() -> int | None:
        async with client:
            return await work(client)

    try:
        status = asyncio.run(run())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        status = complain(error)
    if status:
        sys.exit(status)


def complain(error: Exception) -> int:
    """Say on stderr what went wrong, and return the exit status; defects are raised again."""
    from callboard.commands.output import printable
    from callboard_scheduler.client.errors import (
        NoScheduler,
        NotFound,
        TaskClientError,
        Unreachable,
    )

    if not isinstance(error, TaskClientError | TooLong):
        raise error
    if isinstance(error, NotFound):
        status, hint = NOT_FOUND, ""
    elif isinstance(error, NoScheduler):
        # What a Callboard answers to any path that it does not have.
        ours = error.text.startswith("Not found: ")
        status, hint = UNREACHABLE, _NO_SCHEDULER if ours else _ELSEWHERE
    elif isinstance(error, Unreachable):
        status, hint = UNREACHABLE, _NOT_RUNNING
    elif isinstance(error, TooLong):
        status, hint = TOO_LONG, ""
    else:
        status, hint = FAILED, ""
    click.echo(f"Error: {printable(str(error))}{hint}", err=True)
    return status


async def each(ids: tuple[str, ...], work: Callable[[str], Awaitable[None]]) -> int:
    """Do the same to each; one that is refused does not keep the others from it."""
    statuses = []
    for task_id in ids:
        try:
            await work(task_id)
        except Exception as error:
            statuses.append(complain(error))
    return max(statuses, default=0)
