"""What a person reads when the server is up: where it listens, and the lines to paste.

The lines are complete: pusher-js asks Pusher's own servers wherever an option is missing, so
``cluster`` is empty and the hosts of both WebSockets and HTTP are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from callboard_protocol import __version__
from callboard_server.settings import DEVELOPMENT_APP_SECRET, AppSettings

#: Stands for the name that clients use when the server listens on every address.
ANY_HOST = "YOUR-HOST"


def announce(
    apps: Sequence[AppSettings],
    addresses: Sequence[tuple[str, int]],
    *,
    name: str | None,
    open_files: int | None,
    tls_addresses: Sequence[tuple[str, int]] = (),
    unix_socket: str | None = None,
    data: str | None = None,
) -> str:
    """Return the text.

    `name` is the host as it was asked for, None if only the addresses are known. `open_files` is
    the limit, None for unlimited. `data` is what :func:`where_kept` says, None without a scheduler.
    """
    places = [f"http://{_in_url(host)}:{port}" for host, port in addresses]
    places += [f"https://{_in_url(host)}:{port}" for host, port in tls_addresses]
    places += [f"unix:{unix_socket}"] if unix_socket else []
    where = ", ".join(places)
    limit = "no limit" if open_files is None else f"limit {open_files}"
    host, port = addresses[0]
    tls_port = tls_addresses[0][1] if tls_addresses else None
    lines = [
        f"Callboard {__version__} listens on {where}",
        f"Open files: {limit} (each connection takes one)",
    ]
    if data is not None:
        lines.append(f"Scheduler: on; tasks are kept in {data}")
    for app in apps:
        lines += ["", *_app_lines(app, client_host(name or host), port, tls_port)]
    return "\n".join(lines)


def where_kept(data: Path) -> str:
    """Return where tasks are kept, and when that is made unless it is there."""
    return str(data) if data.exists() else f"{data}, which is made with the first one"


def client_host(host: str) -> str:
    """Return the host as clients write it: bracketed if IPv6, ANY_HOST for all addresses."""
    try:
        if ip_address(host.partition("%")[0]).is_unspecified:
            return ANY_HOST
    except ValueError:
        pass
    return _in_url(host)


def _app_lines(app: AppSettings, host: str, port: int, tls_port: int | None) -> Iterator[str]:
    tls = app.tls_only and tls_port is not None
    if tls_port is not None and tls:
        port = tls_port
    # The development secret is public, and pasted; any other one is the reader's to fill in.
    shown = app.secret if app.secret == DEVELOPMENT_APP_SECRET else "***"
    app_id, key, secret, host = (json.dumps(text) for text in (app.id, app.key, shown, host))
    yield f"App {app.id}" if app.enabled else f"App {app.id} (not enabled)"
    kind, secure = ("s", "true") if tls else ("", "false")
    yield (
        f'  pusher-js:      new Pusher({key}, {{cluster: "", wsHost: {host}, '
        f"ws{kind}Port: {port}, httpHost: {host}, http{kind}Port: {port}, forceTLS: {secure}}})"
    )
    yield (
        f"  Node pusher:    new Pusher({{appId: {app_id}, key: {key}, secret: {secret}, "
        f"host: {host}, port: {port}, useTLS: {'true' if tls else 'false'}}})"
    )
    if app.id.isascii() and app.id.isdigit():
        yield (
            f"  Python pusher:  pusher.Pusher(app_id={app_id}, key={key}, secret={secret}, "
            f"ssl={tls}, host={host}, port={port})"
        )
    else:
        # The library checks it itself and raises "Invalid app id" (pusher/util.py, app_id_re).
        yield "  Python pusher:  takes only digits for app_id; give the app such an id to use it"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
