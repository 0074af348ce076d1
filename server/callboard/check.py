"""Whether the server would start, without starting it: nothing listens, nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from callboard import ports_file
from callboard.configuration import refuse_built_in_credentials
from callboard_server import listeners
from callboard_server.settings import AppSettings, Settings


def check(
    settings: Settings, *, ports_path: Path | None, fd: int | None, environment: Mapping[str, str]
) -> str:
    """Return in a few lines what would start.

    Takes what :func:`callboard.serve.run` takes and raises what it would raise, except that the
    port may be in use, for instance by the server that is to be started again.
    """
    if ports_path is not None:
        ports_file.check(ports_path)
    given = listeners.inherited(fd, environment)
    try:
        if given:
            refuse_built_in_credentials(settings, given)
            where = ", ".join(_address(*sock.getsockname()[:2]) for sock in given)
        else:
            where = _address(settings.host, settings.port) + _try_addresses(settings)
    finally:
        for sock in given:
            sock.detach()
    apps = "\n".join(f"  app {_app(app)}" for app in settings.apps)
    return f"Would start, listening on {where}, with {_counted(len(settings.apps), 'app')}:\n{apps}"


def _try_addresses(settings: Settings) -> str:
    note = ""
    try:
        sockets = listeners.bind(settings.host, settings.port)
    except listeners.ListenError as error:
        if not error.in_use:
            raise
        note = " (in use now)"
        sockets = listeners.bind(settings.host, 0)
    try:
        refuse_built_in_credentials(settings, sockets)
    finally:
        for sock in sockets:
            sock.close()
    return note


def _address(host: str, port: int) -> str:
    return f"{host} port {port or '0 (a free one)'}"


def _app(app: AppSettings) -> str:
    notes = [
        "" if app.enabled else "not enabled",
        "client events" if app.client_events else "no client events",
        "built-in development credentials" if app.built_in else "",
    ]
    return f"{app.id} ({', '.join(note for note in notes if note)})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
