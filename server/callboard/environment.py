"""Settings from environment variables.

1. ``CALLBOARD_<FIELD>`` sets a field of the server.
2. ``CALLBOARD_APP_<FIELD>`` describes one app. Its required fields are also taken from
   ``PUSHER_APP_<FIELD>``, so that the environment of an application that uses Pusher serves both
   ends; ours win.
3. An empty variable is as good as none.
4. A ``CALLBOARD_`` variable that nobody knows is an error, not a silent typing mistake. The
   exception are those that Kubernetes adds for a service called ``callboard``, and the one that
   the commands about tasks read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from callboard.errors import ConfigurationError
from callboard.fields import Field, fields_of, nearest
from callboard_server.settings import AppSettings, Settings

PREFIX = "CALLBOARD_"
APP_PREFIX = "CALLBOARD_APP_"
PUSHER_PREFIX = "PUSHER_APP_"
#: Names the configuration file, as ``--config`` does.
CONFIG_FILE = "CALLBOARD_CONFIG"
#: Where the commands about tasks find their scheduler, as ``--url`` does; not of the server.
URL = "CALLBOARD_URL"

_KUBERNETES_NAME = re.compile(
    r"CALLBOARD_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
_KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://.*")


def variable(field: Field, prefix: str = PREFIX) -> str:
    """Return the name of the variable that sets the field."""
    return prefix + field.name.upper()


def server_fields() -> dict[str, Field]:
    """Return the fields of the server that have a variable, by the variable's name."""
    return {variable(field): field for field in fields_of(Settings).values() if field.scalar}


def app_fields() -> dict[str, Field]:
    """Return the fields of the environment's app that have a variable, by the variable's name."""
    fields = fields_of(AppSettings).values()
    return {variable(field, APP_PREFIX): field for field in fields if field.scalar}


def read(environment: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the server's fields that the environment sets, and the app it names, if any.

    Raises ConfigurationError for unknown variables, wrong values and an app with parts missing.
    """
    given = {
        name: text
        for name, text in environment.items()
        if text and name.startswith((PREFIX, PUSHER_PREFIX)) and not _kubernetes(name, text)
    }
    problems = list(_unknown(given))
    server = _values(server_fields(), given, problems)
    app = {**_values(_pusher_fields(), given, problems), **_values(app_fields(), given, problems)}
    if app and not problems:
        problems.extend(_missing(app))
    if problems:
        raise ConfigurationError(problems)
    return server, app or None


def _pusher_fields() -> dict[str, Field]:
    fields = fields_of(AppSettings).values()
    return {variable(field, PUSHER_PREFIX): field for field in fields if field.required}


def _values(
    fields: Mapping[str, Field], given: Mapping[str, str], problems: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in given:
            continue
        values[field.name] = field.from_text(given[name])
        if fault := field.fault(values[field.name]):
            problems.append(f"{name} (environment): {fault}.")
    return values


def _unknown(given: Mapping[str, str]) -> Iterator[str]:
    known = {CONFIG_FILE, URL, *server_fields(), *app_fields()}
    for name in given:
        if name.startswith(PREFIX) and name not in known:
            yield (
                f"{name} (environment): unknown variable; "
                f"the nearest known one is {nearest(name, known)}."
            )


def _missing(app: Mapping[str, Any]) -> Iterator[str]:
    required = [field for field in fields_of(AppSettings).values() if field.required]
    missing = [field for field in required if field.name not in app]
    if missing:
        ours = " and ".join(variable(field, APP_PREFIX) for field in missing)
        pusher = " and ".join(variable(field, PUSHER_PREFIX) for field in missing)
        yield (
            "The environment names a part of an app only: expected also "
            f"{ours} (or {pusher}), or none of its variables."
        )


def _kubernetes(name: str, text: str) -> bool:
    if _KUBERNETES_NAME.fullmatch(name):
        return True
    return name.endswith("_PORT") and _KUBERNETES_PORT.fullmatch(text) is not None
