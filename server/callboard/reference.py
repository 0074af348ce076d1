"""docs/configuration.md, written from the settings' structures.

``callboard config`` prints it, and a test holds the file in docs/ equal to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import msgspec

from callboard import environment as variables
from callboard.fields import fields_of
from callboard_server.settings import AppSettings, Settings

_HEAD = """\
<!-- Written by `callboard config` from the structures in callboard_server/settings.py. -->

# Configuration

Every setting has a default. It can be given by, in order of precedence,

1. a flag of `callboard serve`,
2. an environment variable,
3. a TOML file, named by `--config FILE` or by the variable `CALLBOARD_CONFIG`.

Lists and tables have no flag and no variable; they are written in the file.

`callboard check` takes the same flags, reads the same sources, and says whether the server would
start. A signal (SIGHUP) lets a running server read them again. Unknown keys and variables and
values of the wrong kind are errors, which name the key and what was expected. An empty variable
counts as none.

Without any app there is one for development: id `app-id`, key `app-key`, secret `app-secret`, with
client events on. Everyone knows it, so the server refuses to start with its key or its secret on
an address that other machines can reach.

A file with an app of its own:

```toml
host = "0.0.0.0"
port = 6001

[[apps]]
id = "shop"
key = "shop-key"
secret = "" # fill in a good one: python3 -c "import secrets; print(secrets.token_hex(20))"
client_events = true
```
"""

_APP_VARIABLES = """\
The variables describe one app. What they set goes over the file's app with the same id; without
such an app it is served beside the file's apps. It needs {required}.

{pusher} are read too, so that the environment of
an application that uses Pusher serves both ends; the variables below win over them.
"""

_TAIL = """\
## Sockets that are handed over

With `--fd N`, or when systemd sets `LISTEN_FDS` and `LISTEN_PID`, the server listens on the
sockets that it was started with, and `port` is not used. `--fd` wins. `tls_port` on `host` and
`unix_socket` are listened on besides.

## In Kubernetes

For a service called `callboard`, Kubernetes sets variables such as `CALLBOARD_SERVICE_HOST` and
`CALLBOARD_PORT=tcp://...` in its pods. They are not settings, and are left alone."""


def reference() -> str:
    """Return the whole reference in Markdown, without a newline at the end."""
    server = f"## The server\n\n{_table(Settings)}\n"
    return "\n".join([_HEAD, server, *_sections(Settings, ""), _TAIL])


def _sections(struct: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    """Yield a section for each structure inside `struct`, whose own keys begin with `prefix`."""
    for field in fields_of(struct).values():
        if field.table is None:
            continue
        path = prefix + field.name
        title = f"`[[{path}]]`" if field.repeated else f"`[{path}]`"
        meaning = (inspect.getdoc(field.table) or "").partition("\n")[0]
        intro = f"## {title}\n\n{meaning} {field.description}\n"
        if field.table is AppSettings:
            intro += f"\n{_app_variables()}"
        yield f"{intro}\n{_table(field.table)}\n"
        yield from _sections(field.table, f"{path}.")


def _app_variables() -> str:
    required = [field for field in fields_of(AppSettings).values() if field.required]
    ours, pusher = (
        ", ".join(f"`{variables.variable(field, prefix)}`" for field in required)
        for prefix in (variables.APP_PREFIX, variables.PUSHER_PREFIX)
    )
    return _APP_VARIABLES.format(required=ours, pusher=pusher)


def _table(struct: type[msgspec.Struct]) -> str:
    # Only these two have variables, and only the server has flags.
    prefix = {Settings: variables.PREFIX, AppSettings: variables.APP_PREFIX}.get(struct)
    heads = ["Key", "Meaning", "Value", "Default"]
    heads += ["Variable"] if prefix else []
    heads += ["Flag"] if struct is Settings else []
    rows = [heads, ["---"] * len(heads)]
    for field in fields_of(struct).values():
        if field.table is not None:
            continue
        default = field.default_text
        default = default if field.required or default == "none" else f"`{default}`"
        row = [f"`{field.name}`", field.description, field.expectation, default]
        row += [f"`{variables.variable(field, prefix)}`" if field.scalar else ""] if prefix else []
        flags = ", ".join(f"`{flag}`" for flag in field.flags)
        row += [flags if field.scalar else ""] if struct is Settings else []
        rows.append(row)
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
