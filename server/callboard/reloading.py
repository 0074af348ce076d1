"""SIGHUP: the configuration is read again, from the same flags, environment and file.

It is taken as a whole or not at all. A fault is told in one line of the log, and everything stays
as it was. Signals that come while the configuration is being taken over lead to one more reading.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from callboard.configuration import refuse_built_in_credentials
from callboard.errors import CallboardError
from callboard_server.listeners import ListenError
from callboard_server.settings import Settings

if TYPE_CHECKING:
    from callboard_server.server import Server

logger = logging.getLogger(__name__)

#: Reads the settings again; raises ConfigurationError.
Load = Callable[[], Settings]


class Reloading:
    """Takes SIGHUP from the moment it is made; what comes before :meth:`run` is not lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop, load: Load) -> None:
        self._load = load
        self._asked = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)

    async def run(self, server: Server, sockets: Iterable[socket.socket]) -> None:
        """Give the server, which listens on these sockets, what is read, for ever."""
        sockets = list(sockets)
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                settings = self._load()
                refuse_built_in_credentials(settings, sockets)
                await server.reload(settings)
            except (CallboardError, ListenError) as error:
                logger.error("SIGHUP: nothing is changed: %s", " ".join(str(error).split()))
            except Exception:
                # Whatever it was, the next signal must find somebody who listens.
                logger.exception("SIGHUP: failed")
