"""Whether tasks can be kept where the settings say, seen before anything starts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from callboard.errors import StartError
from callboard_scheduler.stores import StoreError
from callboard_scheduler.stores.directory import DataDirectory
from callboard_server.settings import DEFAULT_DATA, Settings


def settle(settings: Settings) -> tuple[Settings, str | None]:
    """Return the settings to start with, and what the reader must know of them.

    Nobody asked for the default folder, and who only wants a Pusher server may run it where
    nothing can be written: such a server has no scheduler, and says so.

    Raises:
        StartError: a folder that was asked for cannot be used.
    """
    if not settings.scheduler:
        return settings, None
    try:
        DataDirectory(Path(settings.data)).probe()
    except StoreError as error:
        if settings.data != DEFAULT_DATA:
            raise StartError(str(error)) from None
        without = msgspec.structs.replace(settings, scheduler=False)
        return without, f"Scheduler: off, as no tasks can be kept: {error}"
    return settings, None
