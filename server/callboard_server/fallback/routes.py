"""What can be asked of the fallback: ``{prefix}/app/{key}/{n}/{session}/{action}``, by POST.

``xhr_streaming`` and ``xhr`` receive, and open the session if there is none of that name;
``xhr_send`` sends. Number and name are the client's choice, so a session is found only by who
comes as its opener came: to the same app, from pages of the same origin, and as safely. Who
guesses a name from elsewhere gets a session of their own, or learns that there is none.

Any page may ask (CORS), because clients send no cookies and each app says itself which origins
may connect.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import unquote

from callboard_protocol import refusals
from callboard_protocol.refusals import Refusal
from callboard_server.admission import Apps, admit, refuse
from callboard_server.client_info import ClientInfo
from callboard_server.fallback import lines
from callboard_server.fallback.session import Session, one_piece
from callboard_server.front.exchange import Attend
from callboard_server.front.request import ANY_ORIGIN, Request, Response, text
from callboard_server.hub import Hub
from callboard_server.settings import Settings

#: More sessions without a receive, and new ones are refused. Each lives for seconds only, but
#: unlike a WebSocket it costs its client no socket.
MAX_UNATTENDED: Final = 10_000

_PATH: Final = re.compile(rb"/app/([^/]+)/([\w-]{1,64}/[\w-]{1,64})/(xhr_streaming|xhr|xhr_send)")
_NOTHING: Final = Response(204, b"", headers=(ANY_ORIGIN,))
_PREFLIGHT: Final = Response(
    204,
    b"",
    headers=(
        ANY_ORIGIN,
        "Access-Control-Allow-Methods: POST, OPTIONS",
        "Access-Control-Allow-Headers: content-type",
        # As long as any browser keeps it.
        "Access-Control-Max-Age: 86400",
    ),
)


class _Name(NamedTuple):
    """What a session is found by."""

    key: str
    session: bytes
    origin: str | None
    secure: bool


class Fallback:
    """The sessions of this process, by name."""

    def __init__(self, hub: Hub, apps: Apps, settings: Settings) -> None:
        self._hub = hub
        self._apps = apps
        self._settings = settings
        self._sessions: dict[_Name, Session] = {}
        self._unattended: set[Session] = set()
        #: Set when the server ends: who comes now is sent to its successor.
        self.leaving = False
        self._prefixes = _prefixes(settings)
        #: How the paths begin that are answered here.
        self.paths = tuple(prefix + b"/app/" for prefix in self._prefixes)

    async def handle(self, request: Request) -> Response | Attend:
        """Answer a request whose path begins as one of :attr:`paths`."""
        path, _, query = request.target.partition(b"?")
        found = _PATH.fullmatch(self._unprefixed(path))
        if found is None:
            return text(404, self._not_found(path), ANY_ORIGIN)
        if request.method == "OPTIONS":
            return _PREFLIGHT
        if request.method != "POST":
            return text(
                405, "Method not allowed: expected POST", "Allow: POST, OPTIONS", ANY_ORIGIN
            )
        key, session, action = found.groups()
        client = request.client
        name = _Name(unquote(key.decode("latin-1")), session, client.origin, client.secure)
        if action == b"xhr_send":
            return await self._send(name, request.body)
        return await self._receive(name, query.decode("latin-1"), client, action)

    def farewell(self) -> None:
        """End the sessions without a receive: nobody can come for their last words any more."""
        for session in list(self._unattended):
            session.abort()

    async def _receive(
        self, name: _Name, query: str, client: ClientInfo, action: bytes
    ) -> Response | Attend:
        session = self._sessions.get(name) or await self._open(name, query, client, action)
        if isinstance(session, Refusal):
            return one_piece(lines.OPEN + lines.close(session.code, session.message))
        return partial(session.attend, streaming=action == b"xhr_streaming")

    async def _open(
        self, name: _Name, query: str, client: ClientInfo, action: bytes
    ) -> Session | Refusal:
        if self.leaving:
            return refusals.RECONNECT
        if self._full:
            return refuse(self._hub, refusals.OVER_CAPACITY, client)
        app = await admit(self._hub, self._apps, name.key, query, client)
        if isinstance(app, Refusal):
            return app
        session = self._sessions.get(name)
        if session is None and not self._full:
            forget = partial(self._sessions.pop, name)
            session = Session(self._hub, app, self._settings, self._unattended, forget)
            self._sessions[name] = session
            if self._hub.witness is not None:
                transport = "xhr_polling" if action == b"xhr" else "xhr_streaming"
                self._hub.witness.connected(session.socket_id, transport, query, client)
            return session
        # Others have asked while the broker was: for this session, or for too many.
        await self._hub.broker.disconnect(app.id)
        return session or refuse(self._hub, refusals.OVER_CAPACITY, client, app)

    @property
    def _full(self) -> bool:
        return len(self._unattended) >= MAX_UNATTENDED

    async def _send(self, name: _Name, body: bytes) -> Response:
        session = self._sessions.get(name)
        if session is None:
            return _unknown_session(name)
        try:
            messages = lines.messages(body)
        except lines.BadBody as mistake:
            return text(400, f"Bad body: {mistake}", ANY_ORIGIN)
        if not await session.take(messages):
            return _unknown_session(name)
        return _NOTHING

    def _unprefixed(self, path: bytes) -> bytes:
        for prefix in self._prefixes:
            if path.startswith(prefix + b"/app/"):
                return path[len(prefix) :]
        return path

    def _not_found(self, path: bytes) -> str:
        expected = f"{self._settings.fallback_path_prefix}/app/{{key}}/{{n}}/{{session}}/"
        shown = path[:100].decode("latin-1")
        return f"Path not found: {shown} (expected {expected} and xhr_streaming, xhr or xhr_send)"


def _unknown_session(name: _Name) -> Response:
    shown = name.session.decode()
    return text(404, f"Unknown session: {shown} (never opened, or over); open another", ANY_ORIGIN)


def _prefixes(settings: Settings) -> tuple[bytes, ...]:
    """Return what the paths may have before ``/app/`` when the front has seen them.

    It takes off the path prefix, which may be how the fallback's own begins.
    """
    prefix, outer = settings.fallback_path_prefix, settings.path_prefix
    prefixes = [prefix.encode()]
    if outer and f"{prefix}/".startswith(f"{outer}/"):
        prefixes.append(prefix[len(outer) :].encode())
    return tuple(prefixes)
