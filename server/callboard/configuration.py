"""The settings, gathered: flags over environment over file over defaults.

Each source is checked on its own, so that a fault is named where it was written, even if another
source would hide it. The environment's app goes over the file's app with the same id, field by
field, or stands beside the others. If nobody names an app, there is the development app, which
:func:`refuse_built_in_credentials` keeps from being served to other machines.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from callboard import environment as variables
from callboard import toml_file
from callboard.errors import ConfigurationError
from callboard.fields import Field, fields_of
from callboard_server.listeners import is_loopback
from callboard_server.settings import AppSettings, Settings

_BUILT_IN = """\
The app {app!r} has built-in development credentials, which everyone knows, and other machines can \
reach {address}.
Give it credentials of its own: set {variables} in the environment, or write [[apps]] with {keys} \
into the file that --config names. A good secret: \
python3 -c "import secrets; print(secrets.token_hex(20))"
Or listen on 127.0.0.1 only."""


def load(
    config_file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]
) -> Settings:
    """Return the settings.

    `config_file` is the TOML file; without it the environment may name one. `flags` has values
    by the names of Settings' fields; None means that the flag was not given.

    Raises ConfigurationError, which names each fault's key and source and never a secret.
    """
    if config_file is None and environment.get(variables.CONFIG_FILE):
        config_file = Path(environment[variables.CONFIG_FILE])
    gathered = toml_file.read(config_file) if config_file is not None else {}
    server, app = variables.read(environment)
    gathered |= server | _given(flags)
    if app is not None:
        apps = gathered.get("apps", [])
        same: dict[str, Any] = next((other for other in apps if other["id"] == app["id"]), {})
        others = [other for other in apps if other is not same]
        gathered["apps"] = [*others, {**same, **app}]
    try:
        return msgspec.convert(gathered, Settings)
    except msgspec.ValidationError as error:
        sources = [str(config_file)] if config_file is not None else []
        sources += ["the environment"] if server or app else []
        sentence = re.sub(r" - at `\$\.?(.*)`$", r" (at `\1`)", str(error))
        raise ConfigurationError([f"{' and '.join(sources) or 'flags'}: {sentence}."]) from None


def flag_fields() -> list[Field]:
    """Return the fields of the server that have a flag."""
    return [field for field in fields_of(Settings).values() if field.scalar]


def refuse_built_in_credentials(settings: Settings, sockets: Iterable[socket.socket]) -> None:
    """Raise ConfigurationError if other machines could reach an app whose secret everyone knows.

    What counts is where the sockets are bound, not what the settings call it.
    """
    built_in = [app.id for app in settings.apps if app.built_in]
    public = [sock.getsockname()[0] for sock in sockets if not is_loopback(sock)]
    if not built_in or not public:
        return
    required = [field for field in fields_of(AppSettings).values() if field.required]
    names = ", ".join(variables.variable(field, variables.APP_PREFIX) for field in required)
    keys = ", ".join(field.name for field in required)
    problem = _BUILT_IN.format(app=built_in[0], address=public[0], variables=names, keys=keys)
    raise ConfigurationError([problem])


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in flags.items() if value is not None}
    known = {field.name: field for field in flag_fields()}
    problems = [f"{name} (flag): unknown." for name in given if name not in known]
    problems += [
        f"{known[name].flag} (flag): {fault}."
        for name, value in given.items()
        if name in known and (fault := known[name].fault(value))
    ]
    if problems:
        raise ConfigurationError(problems)
    return given
