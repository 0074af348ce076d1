"""Plays a recording into a service: the same clients and backends, at the same times or faster.

1. Records are played one after the other, each when its time has come. Before one is played, what
   the service had said by then must have been said again, and what it had answered, answered. So a
   subscription is confirmed before an event is triggered for it, at any speed, and a slower
   service is given the time it needs.
2. What does not come in ``patience_seconds`` is given up, and no event of its name is waited for
   again; it may still come. Each wait is bounded, and so is the replay.
3. A ping is answered when all that came before it has come. One is sent where there was one,
   behind an unsubscription, which has no answer, and before a client leaves.
4. Signatures are made anew with the service's secret, and socket ids are mapped (:mod:`renewal`).

Clients of the HTTP fallback come by WebSocket: what they say and hear is the same.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import aiohttp
import orjson

from callboard.traffic import renewal
from callboard.traffic.comparison import Comparison
from callboard.traffic.credentials import check
from callboard.traffic.loopback import refuse_elsewhere
from callboard.traffic.outcome import CLOSED, Difference, Outcome
from callboard.traffic.reaching import CONNECT_SECONDS
from callboard.traffic.recording import (
    Answer,
    AnyRecord,
    ClientFrame,
    Connect,
    Disconnect,
    Recording,
    Refused,
    Request,
    ServerFrame,
)
from callboard.traffic.redaction import FrameRedaction
from callboard.traffic.replayed_connection import (
    KEEP_ALIVE,
    ReplayedConnection,
    socket_id_in,
)
from callboard.traffic.replayed_requests import ReplayedRequests
from callboard.traffic.survey import Survey, choose_app, survey
from callboard_client.clock import unix_time
from callboard_client.signed_request import Credentials

#: As fast as what depends on one another allows.
MAX_SPEED: Final = math.inf
PATIENCE_SECONDS: Final = 5.0
_REQUEST_SECONDS: Final = 30.0

Part = Literal["client", "api"]
#: Told of how many records of how many have been played.
Progress = Callable[[int, int], None]


def replay(
    path: str | Path,
    url: str,
    *,
    speed: float = MAX_SPEED,
    only: Part | None = None,
    key: str | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    i_own_this_server: bool = False,
    on_progress: Progress = lambda played, records: None,
) -> Outcome:
    """Play a recording into the service at ``http://KEY:SECRET@HOST:PORT/apps/ID``.

    ``speed`` 1 is the recording's own, 2 twice as fast; by default nothing waits for time.
    ``only`` plays the clients or the API requests alone; then :attr:`Outcome.same` says little.
    ``key`` chooses the app if the recording has several. A host that is not this machine is
    refused unless ``i_own_this_server``.

    Raises:
        BadRecording: the file cannot be read.
        CannotReplay: the service cannot be reached, is elsewhere, or does not take what is signed
            with this key and secret, or the app is not clear.
        ValueError: ``url`` or ``speed`` is none.
    """
    work = replay_async(
        path,
        url,
        speed=speed,
        only=only,
        key=key,
        patience_seconds=patience_seconds,
        i_own_this_server=i_own_this_server,
        on_progress=on_progress,
    )
    return asyncio.run(work)


async def replay_async(
    path: str | Path,
    url: str,
    *,
    speed: float = MAX_SPEED,
    only: Part | None = None,
    key: str | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    i_own_this_server: bool = False,
    on_progress: Progress = lambda played, records: None,
) -> Outcome:
    """Do what :func:`replay` does, in a coroutine."""
    if not speed > 0:
        raise ValueError(f"speed must be above 0, got {speed}")
    credentials = Credentials.from_url(url)
    if not i_own_this_server:
        refuse_elsewhere(credentials.base)
    recording = Recording(Path(path))
    found = survey(recording)
    chosen = choose_app(found, key)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=CONNECT_SECONDS, sock_read=_REQUEST_SECONDS
    )
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await check(session, credentials, unix_time)
        replaying = _Replaying(session, credentials, recording, found, patience_seconds)
        replaying.choose(chosen, only)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            for played, record in enumerate(recording):
                on_progress(played, found.records)
                # At full speed this lets what has come be read.
                await asyncio.sleep(max(0.0, began + record.ms / 1000 / speed - loop.time()))
                await replaying.play(record)
            await replaying.settle()
            on_progress(found.records, found.records)
        finally:
            await replaying.close()
    outcome = replaying.outcome
    outcome.torn = recording.torn
    return outcome


class _Replaying:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        credentials: Credentials,
        recording: Recording,
        found: Survey,
        patience_seconds: float,
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._keep_data = recording.header.data == "kept"
        self._only: Part | None = None
        self._key: str | None = None
        self._patience_seconds = patience_seconds
        self._comparison = Comparison()
        self._connections: dict[int, ReplayedConnection] = {}
        #: Those of the recording, as they are called now.
        self._socket_ids: dict[str, str] = {}
        #: Names of events that have not come in time.
        self._given_up: set[str] = set()
        self._settles = True
        self.outcome = Outcome()
        self._requests = ReplayedRequests(
            session, credentials, self._socket_ids, found.unauthorized, self.outcome, unix_time
        )

    def choose(self, key: str | None, only: Part | None) -> None:
        """Play only this app, and only this part."""
        self._key = key
        self._only = only

    async def play(self, record: AnyRecord) -> None:
        """Play one record, and wait for what it says of the service."""
        match record:
            case Connect():
                self._connect(record)
            case ClientFrame():
                await self._say(record)
            case ServerFrame():
                await self._hear(record)
            case Disconnect():
                await self._leave(record)
            case Request():
                self._ask(record)
            case Answer():
                await self._requests.answered(record)
            case Refused():
                self.outcome.leave_out("clients that the service did not let in")
        self._comparison.now_ms = record.ms

    async def settle(self) -> None:
        """Wait until all has come that will, and see how the service differs."""
        await self._requests.settle()
        for number, connection in self._connections.items():
            await self._settle(connection)
            self._comparison.leave(number, self._comparison.now_ms)
            if connection.left_by_service:
                self._differs(f"not before, now {_end(connection)}", number)
        self.outcome.events = self._comparison.arrived
        self.outcome.late = self._comparison.late
        self.outcome.add(self._comparison.differences())

    async def close(self) -> None:
        """End what is left, whatever state it is in."""
        await self._requests.close()
        await asyncio.gather(*(each.close() for each in self._connections.values()))

    # Clients

    def _connect(self, record: Connect) -> None:
        if self._only == "api" or record.key != self._key:
            return
        number = record.connection
        redaction = FrameRedaction(keep_data=self._keep_data)

        def heard(text: bytes) -> None:
            # As it would be recorded, since that is what it is compared with.
            frame = redaction.server(text)
            if frame is not None and self._is_expected(frame["event"]):
                self._comparison.arrive(number, frame)

        self._connections[number] = ReplayedConnection(
            self._session, self._credentials, record.parameters, heard
        )
        self.outcome.connections += 1

    async def _say(self, record: ClientFrame) -> None:
        connection = self._connections.get(record.connection)
        if connection is None:
            return
        await self._established(connection)
        if record.frame is None:
            frame = renewal.unread(record)
        elif record.frame["event"] in KEEP_ALIVE:
            return
        else:
            frame = renewal.client_frame(record.frame, connection.socket_id, self._credentials)
        if not await connection.send(frame, binary=record.binary):
            self.outcome.leave_out("frames of clients that the service had sent away")
            return
        self.outcome.frames += 1
        if record.frame is not None and record.frame["event"] == "pusher:unsubscribe":
            await self._settle(connection)

    async def _hear(self, record: ServerFrame) -> None:
        connection = self._connections.get(record.connection)
        frame = record.frame
        if connection is None or frame is None or not self._is_expected(frame["event"]):
            return
        if frame["event"] == "pusher:pong":
            await self._settle(connection)
            self._comparison.confirm(record.connection)
            return
        recorded_id = socket_id_in(orjson.dumps(frame))
        if recorded_id is not None:
            if await self._established(connection):
                self._socket_ids[recorded_id] = connection.socket_id
            return
        expectation = self._comparison.expect(record.connection, frame)
        if expectation is None or frame["event"] in self._given_up:
            return
        if not await connection.until(lambda: expectation.met, self._patience_seconds):
            self._given_up.add(frame["event"])

    async def _leave(self, record: Disconnect) -> None:
        number = record.connection
        connection = self._connections.get(number)
        if connection is None:
            return
        if record.by == "server":
            await connection.until(lambda: False, self._patience_seconds)
            if connection.ended != record.code:
                self._differs(f"with {record.code} before, now {_end(connection)}", number)
        else:
            await self._settle(connection)
            self._comparison.leave(number, record.ms)
            if connection.left_by_service:
                self._differs(f"not before, now {_end(connection)}", number)
        del self._connections[number]
        # Codes of the protocol are the server's; a client that vanished leaves in order now.
        own = record.by == "client" and (record.code == 1000 or 3000 <= record.code < 5000)
        await connection.close(record.code if own else aiohttp.WSCloseCode.OK)

    async def _established(self, connection: ReplayedConnection) -> bool:
        """Wait until a client is let in; one that is not in time is given up."""
        if await connection.until(lambda: connection.socket_id != "", self._patience_seconds):
            return True
        if connection.ended is None:
            await connection.give_up()
        return False

    async def _settle(self, connection: ReplayedConnection) -> None:
        if self._settles and connection.ended is None:
            settled = await connection.settle(self._patience_seconds)
            # A service that does not answer is not asked for each connection.
            self._settles = settled or connection.ended is not None

    def _is_expected(self, event: str) -> bool:
        """Whether clients alone are enough for an event to come."""
        by_clients = event.startswith(("pusher:", "pusher_internal:", "client-"))
        return self._only is None or by_clients

    # Backends

    def _ask(self, record: Request) -> None:
        if self._only != "client" and record.key == self._key:
            self._requests.ask(record)

    def _differs(self, what: str, connection: int) -> None:
        self.outcome.add([Difference(CLOSED, what, connection)])


def _end(connection: ReplayedConnection) -> str:
    return "not" if connection.ended is None else f"with {connection.ended}"
