"""The beginning of a connection by TLS: keys are agreed on, then it is HTTP like any other.

``create_server(ssl=…)`` would do the same, but knows nothing of a client that has not finished its
handshake: when the server ends, such a client must be gone, too.
"""

from __future__ import annotations

import asyncio
from typing import cast

from callboard_server.front.context import FrontContext
from callboard_server.front.http import visitor
from callboard_server.stepping import step
from callboard_server.tls import HANDSHAKE_SECONDS, SHUTDOWN_SECONDS, TLS


class TLSHandshake(asyncio.Protocol):
    """A client from the moment it is accepted until it speaks HTTP or is gone."""

    _transport: asyncio.Transport

    def __init__(self, context: FrontContext, tls: TLS) -> None:
        self._context = context
        self._tls = tls
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._context.connections.add(self)
        # At once, before the first bytes can come.
        self._task = step(self._shake_hands())

    @property
    def has_more(self) -> bool:
        return False

    def finish(self) -> None:
        """The server ends, and nothing was asked yet."""
        self.abort()

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    async def _shake_hands(self) -> None:
        connection = visitor(self._context)
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport,
                connection,
                self._tls.context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except OSError:
            # It does not trust us, is no client of TLS at all, or is gone: scanners are all three.
            pass
        else:
            # Without a transport it was lost at the last moment.
            if transport is not None and not transport.is_closing():
                connection.connection_made(transport)
        finally:
            self._context.connections.discard(self)
