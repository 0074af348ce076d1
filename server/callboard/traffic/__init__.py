"""Traffic between clients, backends and a Pusher service: recorded, and played again.

Recording: :mod:`proxy` stands between them and the service. What passes goes through unchanged,
by :mod:`websocket_relay` and :mod:`http_relay`; :mod:`recorder` gives it a time and a number,
:mod:`redaction` takes out what is secret, and :mod:`writing` puts it into a file, in the form of
:mod:`recording`.

Playing again: :mod:`survey` reads the file once to know what is in it. :mod:`replaying` reads it a
second time and does what clients and backends did, by :mod:`replayed_connection` and
:mod:`replayed_requests`, signed anew by :mod:`renewal`. :mod:`comparison` holds what the service
says against what it said then, in :mod:`rows`, and :mod:`outcome` is what came of it.
:mod:`loopback` keeps a replay on this machine, :mod:`credentials` asks whether the service takes
its key and secret. :mod:`reaching` says why a service is not there.

From Python: ``replay(path, url)``. Errors are in :mod:`errors`. Nothing is imported before it is
used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callboard.traffic.outcome import Outcome
    from callboard.traffic.replaying import replay, replay_async

__all__ = ["Outcome", "replay", "replay_async"]

_MODULE_OF = {"Outcome": "outcome", "replay": "replaying", "replay_async": "replaying"}


if not TYPE_CHECKING:
    # Type checkers take the imports above; to them this would make every name one of ours.
    def __getattr__(name: str) -> object:
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        # The next access finds it without coming here.
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
