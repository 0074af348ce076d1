"""What the ``websockets`` library asks for a connection: its sans-IO server on uvloop, bare.

The handshake and every frame are the library's; it greets, answers a subscription, and keeps
nothing else. The floor of ``connect`` parses no HTTP at all, which no server that is exposed can.

Run by the tool as ``python -m callboard_bench.websockets_floor --ports-file PATH``.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path
from typing import cast

import orjson
import uvloop
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from callboard_bench.floor import serve
from callboard_protocol.messages import (
    PONG,
    connection_established,
    subscription_succeeded,
)

_logger = logging.getLogger(__name__)


class Bare(asyncio.Protocol):
    """A client that connects and subscribes."""

    __slots__ = ("library", "transport")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.library = ServerProtocol(logger=_logger)

    def data_received(self, data: bytes) -> None:
        library = self.library
        library.receive_data(data)
        for event in library.events_received():
            if isinstance(event, Request):
                library.send_response(library.accept(event))
                library.send_text(connection_established("1.1", 120))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                library.send_text(_answer(event.data))
        self.transport.write(b"".join(library.data_to_send()))
        if library.close_expected():
            self.transport.close()


def _answer(text: bytes | bytearray | memoryview) -> bytes:
    message = orjson.loads(text)
    if message["event"] == "pusher:subscribe":
        return subscription_succeeded(message["data"]["channel"])
    return PONG


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="The websockets library's server, bare.")
    arguments.add_argument("--ports-file", type=Path, required=True)
    options = arguments.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Bare, options.ports_file))
