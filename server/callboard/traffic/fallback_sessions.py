"""Clients that come by HTTP: which connection their requests belong to, and what is said in them.

A session begins with the first receive that the service answers, and its frames are recorded as
those of a WebSocket. It is over with a line that says so, or when nobody receives for
``timeout_seconds``: clients leave without a word. Source: the wire form of pusher-js's
``xhr_streaming`` and ``xhr_polling``, lines as SockJS has them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote

import orjson

from callboard.traffic.recorder import RecordedConnection, Recorder
from callboard.traffic.recording import NO_CLOSE_FRAME

#: As long as Callboard waits for a client to come back, unless it is told otherwise.
TIMEOUT_SECONDS: Final = 5.0
#: A line longer than this is not read; what is passed on is not held up for it.
MAX_LINE_BYTES: Final = 16 * 1024 * 1024

_PATH: Final = re.compile(r".*/app/([^/]+)/([\w-]+/[\w-]+)/(xhr_streaming|xhr|xhr_send)", re.ASCII)
#: Another receive has taken the place of this one, whose session goes on (SockJS).
_REPLACED: Final = 2010


class FallbackRequest(NamedTuple):
    """What a path of the fallback says."""

    key: str
    session: str
    sends: bool


def fallback_request(method: str, path: str) -> FallbackRequest | None:
    """Return what a request is for, None if it is none of the fallback's."""
    found = _PATH.fullmatch(path)
    if method != "POST" or found is None:
        return None
    key, session, action = found.groups()
    return FallbackRequest(unquote(key), session, action == "xhr_send")


class FallbackSessions:
    """The sessions that are not over."""

    def __init__(self, recorder: Recorder, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._recorder = recorder
        self._timeout_seconds = timeout_seconds
        self._sessions: dict[tuple[str, str], _Session] = {}

    def receive(self, request: FallbackRequest, query: str) -> Receive:
        """Return who reads the answer to a receive that the service has let in."""
        name = (request.key, request.session)
        session = self._sessions.get(name)
        if session is None:
            connection = self._recorder.connect("fallback", request.key, parse_qsl(query))
            session = _Session(
                connection, lambda: self._sessions.pop(name, None), self._timeout_seconds
            )
            self._sessions[name] = session
        return Receive(session)

    def send(self, request: FallbackRequest, body: bytes) -> None:
        """Record what a client sends; of a session that is not known there is nothing to say."""
        session = self._sessions.get((request.key, request.session))
        if session is None:
            return
        for text in _texts(body):
            session.connection.client(text)

    def end(self) -> None:
        """End all sessions, because the recorder ends."""
        for session in list(self._sessions.values()):
            session.connection.ended("recorder", NO_CLOSE_FRAME)
            session.over()


class _Session:
    def __init__(
        self,
        connection: RecordedConnection,
        forget: Callable[[], object],
        timeout_seconds: float,
    ) -> None:
        self.connection = connection
        self._forget = forget
        self._timeout_seconds = timeout_seconds
        self._receives = 0
        self._leaving: asyncio.TimerHandle | None = None
        self._over = False

    def attended(self) -> None:
        self._receives += 1
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def left(self) -> None:
        self._receives -= 1
        if self._receives == 0 and not self._over:
            loop = asyncio.get_running_loop()
            self._leaving = loop.call_later(self._timeout_seconds, self._gone)

    def over(self) -> None:
        if self._over:
            return
        self._over = True
        if self._leaving is not None:
            self._leaving.cancel()
        self._forget()

    def _gone(self) -> None:
        self.connection.ended("client", NO_CLOSE_FRAME)
        self.over()


class Receive:
    """One answer, read as it passes; ``with`` it while it does."""

    def __init__(self, session: _Session) -> None:
        self._session = session
        self._unread = b""

    def __enter__(self) -> Receive:
        self._session.attended()
        return self

    def __exit__(self, *ended: object) -> None:
        self._session.left()

    def read(self, data: bytes) -> None:
        """Record the lines that are whole by now."""
        *lines, rest = (self._unread + data).split(b"\n")
        self._unread = rest if len(rest) <= MAX_LINE_BYTES else b""
        for line in lines:
            self._read_line(line)

    def _read_line(self, line: bytes) -> None:
        session = self._session
        if line.startswith(b"a"):
            for text in _texts(line[1:]):
                session.connection.server(text)
        elif line.startswith(b"c"):
            code, reason = _close(line[1:])
            if code != _REPLACED:
                session.connection.ended("server", code, reason)
                session.over()


def _texts(data: bytes) -> list[bytes]:
    """Return the messages of a list, none if it is no such list."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(found, list):
        return []
    return [each.encode() for each in found if isinstance(each, str)]


def _close(data: bytes) -> tuple[int, str]:
    try:
        match orjson.loads(data):
            case [int(code), str(reason)]:
                return code, reason
    except orjson.JSONDecodeError:
        pass
    return NO_CLOSE_FRAME, ""
