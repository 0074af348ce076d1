"""The floor of client events: a relay that writes each message to the other sockets.

A bare ``asyncio.Protocol`` on uvloop. A socket is in the channel that it names first; whatever
it sends after that is unmasked and written to the others of its channel, a ``transport.write``
each. It reads no JSON but the subscription, checks nothing and counts nothing.

Run by the tool as ``python -m callboard_bench.relay_floor --ports-file PATH``.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import ClassVar, Final, cast

import orjson
import uvloop

from callboard_bench.floor import greeting, serve
from callboard_protocol.frames import Cut, cut_text_frame, text_frame
from callboard_protocol.messages import subscription_succeeded

_MOST_BYTES: Final = 20_000


class Relay(asyncio.Protocol):
    """One socket."""

    channels: ClassVar[dict[str, dict[asyncio.Transport, None]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.data = b""
        self.upgraded = False
        self.others: dict[asyncio.Transport, None] | None = None

    def data_received(self, data: bytes) -> None:
        if self.data:
            data = self.data + data
        if not self.upgraded:
            self.data = data
            if data.endswith(b"\r\n\r\n"):
                self.upgrade(data)
            return
        start = 0
        while (cut := cut_text_frame(data, start, _MOST_BYTES)) is not Cut.INCOMPLETE:
            if isinstance(cut, Cut):
                self.transport.close()
                return
            message, start = cut
            self.message(message)
        self.data = data[start:]

    def connection_lost(self, exc: Exception | None) -> None:
        if self.others is not None:
            del self.others[self.transport]

    def upgrade(self, head: bytes) -> None:
        """Answer 101 and ``connection_established``."""
        self.upgraded, self.data = True, b""
        self.transport.write(greeting(head, "1.1"))

    def message(self, message: bytes) -> None:
        """Take the first message as the subscription, and relay all that follow."""
        if self.others is None:
            channel = orjson.loads(message)["data"]["channel"]
            self.transport.write(text_frame(subscription_succeeded(channel)))
            self.others = self.channels.setdefault(channel, {})
            self.others[self.transport] = None
            return
        frame = text_frame(message)
        for transport in self.others:
            if transport is not self.transport:
                transport.write(frame)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A relay to measure client events against.")
    arguments.add_argument("--ports-file", type=Path, required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Relay, arguments.parse_args().ports_file))
