"""A transport without a socket: takes what is written, and gives nothing back."""

from __future__ import annotations

import asyncio
from typing import Any


class Sink(asyncio.Transport):
    """Keeps the last that was written, and is never full."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol: asyncio.BaseProtocol = protocol
        self.last: bytes | bytearray | memoryview = b""
        protocol.connection_made(self)

    def receive(self, data: bytes) -> None:
        """Let these bytes arrive."""
        protocol = self._protocol
        if isinstance(protocol, asyncio.Protocol):
            protocol.data_received(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.last = data

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Nothing comes by itself."""

    def abort(self) -> None:
        self._protocol.connection_lost(None)

    def close(self) -> None:
        self._protocol.connection_lost(None)
