"""What passes, with its time and its number, as lines of a recording.

A frame is a line before it is passed on. So what a client says comes before what the service says
to it, and what the service says before what the client makes of it, also in the file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Final

from callboard.traffic import redaction
from callboard.traffic.recording import (
    FORMAT,
    Answer,
    By,
    ClientFrame,
    Connect,
    Disconnect,
    Header,
    Held,
    Record,
    Refused,
    Request,
    ServerFrame,
    Transport,
    line,
)
from callboard.traffic.writing import Sink, Writer

logger = logging.getLogger(__name__)

#: What of a connection's query means something to a service; the rest is not kept.
_PARAMETERS: Final = ("protocol", "client", "version", "flash")


class Recorder:
    """Makes lines and writes them.

    ``time`` returns seconds from any moment, ``started_ms`` is Unix time.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        time: Callable[[], float],
        started_ms: int,
        keep_data: bool = True,
    ) -> None:
        self._time = time
        self._keep_data = keep_data
        self._began = time()
        self._stalled: float | None = None
        self._writer = Writer(sink, on_stall=self._stall)
        self._connection_numbers = count(1)
        self._request_numbers = count(1)
        self.connections = self.frames = self.requests = 0
        #: Why nothing is recorded any more, when the disk takes nothing.
        self.failure = self._writer.failure
        header = Header(
            callboard=FORMAT, started_ms=started_ms, data="kept" if keep_data else "redacted"
        )
        self._writer.write(line(header))

    @property
    def ms(self) -> float:
        """Milliseconds since the recorder began."""
        return round((self._time() - self._began) * 1000, 3)

    async def room(self) -> None:
        """Return when more may pass: whoever passes something on waits for it here."""
        await self._writer.room()
        if self._stalled is not None:
            held_ms = self.ms - self._stalled
            self._stalled = None
            self._write(Held(ms=self.ms, for_ms=round(held_ms, 3)))
            logger.warning("the disk has caught up: traffic waited for %.1f s", held_ms / 1000)

    def connect(
        self, transport: Transport, key: str, parameters: Iterable[tuple[str, str]]
    ) -> RecordedConnection:
        """Return a connection that the service has let in."""
        number = next(self._connection_numbers)
        known = {name: value for name, value in parameters if name in _PARAMETERS}
        self._write(
            Connect(ms=self.ms, connection=number, transport=transport, key=key, parameters=known)
        )
        self.connections += 1
        return RecordedConnection(self, number, keep_data=self._keep_data)

    def refused(self, key: str, status: int | None) -> None:
        """Record that a client got no connection."""
        self._write(Refused(ms=self.ms, key=key, status=status))

    def request(
        self,
        method: str,
        path: str,
        app: str | None,
        parameters: list[tuple[str, str]],
        content: bytes,
    ) -> int:
        """Record a call of the API and return its number; ``path`` follows ``/apps/ID``."""
        number = next(self._request_numbers)
        fields = redaction.request_fields(path, parameters, content, keep_data=self._keep_data)
        key = dict(parameters).get("auth_key")
        self._write(
            Request(
                ms=self.ms, request=number, method=method, path=path, app=app, key=key, **fields
            )
        )
        self.requests += 1
        return number

    def answer(self, request: int, status: int | None) -> None:
        """Record the status of an answer, None if there was none."""
        self._write(Answer(ms=self.ms, request=request, status=status))

    async def close(self) -> None:
        """Write what waits."""
        await self._writer.close()

    def _stall(self) -> None:
        self._stalled = self.ms
        logger.warning("the disk takes the recording too slowly: traffic waits until it has")

    def _write(self, record: Record) -> None:
        self._writer.write(line(record))


class RecordedConnection:
    """One connection; nothing is recorded of it after its end."""

    def __init__(self, recorder: Recorder, number: int, *, keep_data: bool) -> None:
        self._recorder = recorder
        self.number = number
        self._redaction = redaction.FrameRedaction(keep_data=keep_data)
        self._over = False

    def client(self, text: bytes, *, binary: bool = False) -> None:
        """Record a frame of the client."""
        self._write(ClientFrame, text, None if binary else self._redaction.client(text), binary)

    def server(self, text: bytes, *, binary: bool = False) -> None:
        """Record a frame of the service."""
        self._write(ServerFrame, text, None if binary else self._redaction.server(text), binary)

    def ended(self, by: By, code: int, reason: str = "") -> None:
        """Record the end; the first one counts."""
        if self._over:
            return
        self._over = True
        recorder = self._recorder
        recorder._write(
            Disconnect(
                ms=recorder.ms,
                connection=self.number,
                by=by,
                code=code,
                reason=self._redaction.quoted(reason),
            )
        )

    def _write(
        self,
        kind: type[ClientFrame | ServerFrame],
        text: bytes,
        frame: dict[str, Any] | None,
        binary: bool,
    ) -> None:
        if self._over:
            return
        recorder = self._recorder
        recorder._write(
            kind(
                ms=recorder.ms,
                connection=self.number,
                frame=frame,
                unread_bytes=len(text) if frame is None else None,
                binary=binary,
            )
        )
        recorder.frames += 1
