"""One client of a replay: a WebSocket that answers pings and hands over what the service says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from callboard.traffic.errors import CannotReplay
from callboard.traffic.reaching import reason
from callboard.traffic.recording import NO_CLOSE_FRAME
from callboard_client.events import PING, PONG, BadFrame, decode, established
from callboard_client.signed_request import Credentials, quote_segment

#: Between a client and its server, and never played: a connection sees to it by itself.
KEEP_ALIVE: Final = ("pusher:ping", "pusher:pong")
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024


class ReplayedConnection:
    """Opened when it is made; ``heard`` is told of every frame but keep-alive."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        credentials: Credentials,
        parameters: Mapping[str, str],
        heard: Callable[[bytes], None],
    ) -> None:
        self._session = session
        base = "ws" + credentials.base.removeprefix("http")
        path = f"{base}/app/{quote_segment(credentials.key)}"
        self._url = URL(f"{path}?{urlencode(parameters)}", encoded=True)
        self._base = credentials.base
        self._heard = heard
        self._news = asyncio.Event()
        self._websocket: aiohttp.ClientWebSocketResponse | None = None
        self._pings = self._pongs = 0
        self._leaving = False
        #: Empty until the service says it.
        self.socket_id = ""
        #: The code it ended with, or HTTP's status if it never began; None while it goes on.
        self.ended: int | None = None
        self._task = asyncio.create_task(self._live())

    @property
    def left_by_service(self) -> bool:
        """Whether it ended, and not because this side left."""
        return self.ended is not None and not self._leaving

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds that depends on this connection alone, or it has ended.

        Returns whether it holds; after ``seconds`` nobody waits any more.

        Raises:
            CannotReplay: the service cannot be reached.
        """
        try:
            async with asyncio.timeout(seconds):
                while not condition() and self.ended is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        if self._task.done():
            self._task.result()
        return condition()

    async def send(self, frame: bytes, *, binary: bool = False) -> bool:
        """Send a frame, and return whether there was somebody to take it."""
        if self._websocket is None or self.ended is not None:
            return False
        try:
            kind = aiohttp.WSMsgType.BINARY if binary else aiohttp.WSMsgType.TEXT
            await self._websocket.send_frame(frame, kind)
        except (aiohttp.ClientError, ConnectionError):
            return False
        return True

    async def settle(self, seconds: float) -> bool:
        """Return whether the service has taken all that was sent: it answers in order."""
        self._pings += 1
        wanted = self._pings
        return await self.send(PING) and await self.until(lambda: self._pongs >= wanted, seconds)

    async def close(self, code: int = aiohttp.WSCloseCode.OK) -> None:
        """Say goodbye, unless the service has."""
        self._leaving = self._leaving or self.ended is None
        if self._websocket is not None:
            await self._websocket.close(code=code)
        else:
            self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.exception()  # whoever waits for the connection is told, nobody need be

    async def give_up(self) -> None:
        """Count it as not let in, whatever it comes to yet."""
        await self.close()
        self._leaving = False

    async def _live(self) -> None:
        code = NO_CLOSE_FRAME
        try:
            timeout = aiohttp.ClientWSTimeout(ws_close=2.0)
            self._websocket = await self._session.ws_connect(
                self._url, timeout=timeout, max_msg_size=MAX_MESSAGE_BYTES, compress=0
            )
            code = await self._listen(self._websocket)
        except aiohttp.WSServerHandshakeError as error:
            code = error.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise cannot_reach(self._base, error) from None
        finally:
            self.ended = code
            self._news.set()

    async def _listen(self, websocket: aiohttp.ClientWebSocketResponse) -> int:
        while True:
            message = await websocket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                await self._take(message.data.encode())
                self._news.set()
            elif message.type is aiohttp.WSMsgType.CLOSE:
                code: int = message.data
                return code or NO_CLOSE_FRAME
            elif message.type is not aiohttp.WSMsgType.BINARY:
                return websocket.close_code or NO_CLOSE_FRAME

    async def _take(self, text: bytes) -> None:
        name = _event(text)
        if name == "pusher:ping":
            await self.send(PONG)
        elif name == "pusher:pong":
            self._pongs += 1
        else:
            self.socket_id = self.socket_id or socket_id_in(text) or ""
            self._heard(text)


def cannot_reach(base: str, error: Exception) -> CannotReplay:
    """Return the error that says so."""
    return CannotReplay(f"Cannot reach {base}: {reason(error)}. Is it running, and --url right?")


def _event(text: bytes) -> str:
    try:
        return decode(text).event
    except BadFrame:
        return ""


def socket_id_in(text: bytes) -> str | None:
    """Return the socket id that a frame says, None if it is another frame."""
    try:
        event = decode(text)
        if event.event == "pusher:connection_established":
            return established(event).socket_id
    except BadFrame:
        pass
    return None
