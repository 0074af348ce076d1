"""Whether the server would start, without starting it: nothing listens, nothing stays behind."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from callboard import ports_file, task_folder
from callboard.configuration import refuse_built_in_credentials
from callboard_server import listeners, tls, unix_socket
from callboard_server.settings import AppSettings, Settings

_IN_USE = " (in use now)"


def check(
    settings: Settings, *, ports_path: Path | None, fd: int | None, environment: Mapping[str, str]
) -> str:
    """Return in a few lines what would start.

    Takes what :func:`callboard.serve.run` takes and raises what it would raise, except that ports,
    the Unix socket and the scheduler's folder may be in use, for instance by the server that is to
    be started again.
    """
    if ports_path is not None:
        ports_file.check(ports_path)
    if settings.tls_certificate and settings.tls_key:
        tls.load(settings.tls_certificate, settings.tls_key)
    settings, note = task_folder.settle(settings)
    given = listeners.inherited(fd, environment)
    try:
        refuse_built_in_credentials(settings, given)
        where = [_address(*sock.getsockname()[:2]) for sock in given]
    finally:
        for sock in given:
            sock.detach()
    if not where:
        where = [_try(settings, settings.port)]
    if settings.tls_port is not None:
        where.append(f"{_try(settings, settings.tls_port)} for TLS")
    if settings.unix_socket is not None:
        live = unix_socket.check(settings.unix_socket)
        where.append(f"the Unix socket {settings.unix_socket}{_IN_USE if live else ''}")
    apps = "\n".join(f"  app {_app(app)}" for app in settings.apps)
    return (
        f"Would start, listening on {', '.join(where)}, "
        f"with {_counted(len(settings.apps), 'app')}:\n{apps}" + (f"\n{note}" if note else "")
    )


def _try(settings: Settings, port: int) -> str:
    """Bind the host's addresses to the port and let go of them."""
    note = ""
    sockets: Sequence[socket.socket]
    try:
        sockets = listeners.bind(settings.host, port)
    except listeners.ListenError as error:
        if not error.in_use:
            raise
        note = _IN_USE
        sockets = listeners.bind(settings.host, 0)
    try:
        refuse_built_in_credentials(settings, sockets)
    finally:
        for sock in sockets:
            sock.close()
    return _address(settings.host, port) + note


def _address(host: str, port: int) -> str:
    return f"{host} port {port or '0 (a free one)'}"


def _app(app: AppSettings) -> str:
    notes = [
        "" if app.enabled else "not enabled",
        "TLS only" if app.tls_only else "",
        "client events" if app.client_events else "no client events",
        "built-in development credentials" if app.built_in else "",
    ]
    return f"{app.id} ({', '.join(note for note in notes if note)})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
