"""One WebSocket between a client and the service, passed on message by message.

1. Text, binary, ping, pong and close go to the other side as they came; nothing is answered in its
   place. Only what neither side sees is the relay's own: masks, fragments, compression.
2. A side that closes is answered by the other one, whose answer is passed on too.
3. A side that is cut takes the other one with it, without a close frame.
4. When the recorder ends, both sides are told so with 1001.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Literal

from aiohttp import (
    ClientConnectionError,
    ClientWebSocketResponse,
    WSCloseCode,
    WSMsgType,
)
from aiohttp.web import WebSocketResponse

from callboard.traffic.recorder import RecordedConnection, Recorder
from callboard.traffic.recording import NO_CLOSE_FRAME, NO_CODE

_PASSED: Final = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG)

Side = Literal["client", "server"]
Client = WebSocketResponse[Literal[False]]
Service = ClientWebSocketResponse[Literal[False]]


class WebSocketRelay:
    """Passes on until one side is gone, or :meth:`end` is called."""

    def __init__(
        self, client: Client, service: Service, connection: RecordedConnection, recorder: Recorder
    ) -> None:
        self._client = client
        self._service = service
        self._connection = connection
        self._recorder = recorder
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Tell both sides that the recorder ends."""
        self._ending.set()

    async def run(self) -> bool:
        """Pass on, and return whether the sides have said goodbye; else the client is to be cut."""
        ending = asyncio.create_task(self._ending.wait())
        pumps = {
            asyncio.create_task(self._pump("client", self._client, self._service)),
            asyncio.create_task(self._pump("server", self._service, self._client)),
        }
        try:
            waiting, closed = {ending, *pumps}, True
            while closed and not ending.done() and waiting != {ending}:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                closed = all(pump.result() for pump in done if pump is not ending)
            if ending.done():
                await self._say_goodbye()
            return closed
        finally:
            for task in (ending, *pumps):
                task.cancel()
            await asyncio.wait((ending, *pumps))

    async def _pump(self, side: Side, source: Client | Service, sink: Client | Service) -> bool:
        """Pass on what one side says; return whether it ended with a close frame."""
        connection = self._connection
        heard = connection.client if side == "client" else connection.server
        try:
            while True:
                await self._recorder.room()
                message = await source.receive()
                if message.type in _PASSED:
                    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                        heard(message.data, binary=message.type is WSMsgType.BINARY)
                    await sink.send_frame(message.data, message.type)
                elif message.type is WSMsgType.CLOSE:
                    code, reason = message.data or NO_CODE, message.extra or ""
                    connection.ended(side, code, reason)
                    await sink.send_frame(_close_payload(code, reason), WSMsgType.CLOSE)
                    return True
                else:
                    connection.ended(side, NO_CLOSE_FRAME)
                    return False
        except (ClientConnectionError, ConnectionError):
            # The other side is gone, which its own pump sees.
            return False

    async def _say_goodbye(self) -> None:
        self._connection.ended("recorder", WSCloseCode.GOING_AWAY)
        payload = WSCloseCode.GOING_AWAY.to_bytes(2, "big")
        for side in (self._client, self._service):
            with contextlib.suppress(ClientConnectionError, ConnectionError):
                await side.send_frame(payload, WSMsgType.CLOSE)


def _close_payload(code: int, reason: str) -> bytes:
    return b"" if code == NO_CODE else code.to_bytes(2, "big") + reason.encode()
