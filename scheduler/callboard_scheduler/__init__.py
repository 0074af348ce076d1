"""Tasks given to whoever is free, now or at a time, and seen live.

Submit tasks and wait for them (:mod:`callboard_scheduler.client`)::

    client = Client("http://KEY:SECRET@127.0.0.1:6001/apps/ID")
    task = client.submit("thumbnail", {"url": "https://example.com/a.png"})
    print(task.result(timeout=30))

Run them (:mod:`callboard_scheduler.worker`)::

    worker = Worker(queues=["default"], slots=4)

    @worker.task("thumbnail")
    async def thumbnail(ctx: Context, url: str) -> dict: ...

    worker.run("http://KEY:SECRET@127.0.0.1:6001/apps/ID")

Nothing is imported before it is used, so that nobody pays for the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callboard_scheduler.client.async_client import AsyncClient
    from callboard_scheduler.client.async_task import AsyncTask
    from callboard_scheduler.client.blocking import Client, Task
    from callboard_scheduler.client.errors import (
        BacklogFull,
        Conflict,
        NoScheduler,
        NotFound,
        Refused,
        TaskCancelled,
        TaskClientError,
        TaskError,
        TaskExpired,
        TaskFailed,
        Unauthorized,
        Unavailable,
        Unreachable,
    )
    from callboard_scheduler.client.updates import (
        Ended,
        LogLine,
        Moved,
        Progress,
        StateChanged,
        Update,
    )
    from callboard_scheduler.client.watching import Patience
    from callboard_scheduler.worker.context import Context
    from callboard_scheduler.worker.errors import Fatal, Retry, WorkerRefused
    from callboard_scheduler.worker.worker import Worker

__all__ = [
    "AsyncClient",
    "AsyncTask",
    "BacklogFull",
    "Client",
    "Conflict",
    "Context",
    "Ended",
    "Fatal",
    "LogLine",
    "Moved",
    "NoScheduler",
    "NotFound",
    "Patience",
    "Progress",
    "Refused",
    "Retry",
    "StateChanged",
    "Task",
    "TaskCancelled",
    "TaskClientError",
    "TaskError",
    "TaskExpired",
    "TaskFailed",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "Update",
    "Worker",
    "WorkerRefused",
]

_MODULES = {
    "client.async_client": ("AsyncClient",),
    "client.async_task": ("AsyncTask",),
    "client.blocking": ("Client", "Task"),
    "client.errors": (
        "BacklogFull",
        "Conflict",
        "NoScheduler",
        "NotFound",
        "Refused",
        "TaskCancelled",
        "TaskClientError",
        "TaskError",
        "TaskExpired",
        "TaskFailed",
        "Unauthorized",
        "Unavailable",
        "Unreachable",
    ),
    "client.updates": ("Ended", "LogLine", "Moved", "Progress", "StateChanged", "Update"),
    "client.watching": ("Patience",),
    "worker.context": ("Context",),
    "worker.errors": ("Fatal", "Retry", "WorkerRefused"),
    "worker.worker": ("Worker",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


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
