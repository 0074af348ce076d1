"""A Pusher client on a WebSocket: an asyncio.Protocol between the socket and a Connection.

The handshake is behind it (:mod:`handshake`). Every frame that is not a whole masked text frame
belongs to ``websockets``, used sans-IO; its state machine is made for such a frame and dropped
after it, so that an idle connection costs little memory. Reassembly of fragments and the UTF-8
check (RFC 6455, 5.4 and 8.1) are ours around it. There is no permessage-deflate: a frame must be
the same bytes for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import unquote

from websockets.frames import Frame, Opcode
from websockets.protocol import State as WireState
from websockets.server import ServerProtocol

from callboard_protocol import frames, messages, refusals
from callboard_protocol.refusals import Refusal
from callboard_server.admission import Apps, admit, refuse
from callboard_server.client_info import NOBODY, ClientInfo
from callboard_server.connection import CLOSE_TIMEOUT_SECONDS, Connection
from callboard_server.handlers import receive
from callboard_server.handshake import library_logger
from callboard_server.hub import Hub
from callboard_server.settings import Settings

#: After so many messages of one client in one piece the others get a turn.
_MESSAGES_PER_TURN = 256

#: Stands for a fragmented binary message: its first frame was answered, the rest is not kept.
_SKIPPED = object()

#: A masked control frame with the longest payload.
_MAX_CONTROL_FRAME_BYTES = 131

_PING = frames.ping_frame() + frames.text_frame(messages.PING)


class WebSocket(asyncio.Protocol):
    """One WebSocket after its handshake, from acceptance or refusal to the end.

    Implements :class:`~callboard_server.connection.Outlet`.
    """

    __slots__ = (
        "_apps",
        "_buffer",
        "_connection",
        "_hub",
        "_library",
        "_message",
        "_open",
        "_response",
        "_settings",
        "_skip",
        "_transport",
        "due",
    )

    def __init__(
        self, transport: asyncio.Transport, hub: Hub, apps: Apps, settings: Settings
    ) -> None:
        self._transport = transport
        self._hub = hub
        self._apps = apps
        self._settings = settings
        self._connection: Connection | None = None
        self._buffer = b""
        self._response = b""
        self._library: ServerProtocol | None = None
        #: The message whose fragments are being received, if it is to be kept.
        self._message: bytearray | object | None = None
        #: What is still to come of a message that is thrown away, in bytes.
        self._skip = 0
        self._open = True
        self.due: int | None = None
        hub.transient.add(self)

    # From acceptance

    def begin(
        self, target: bytes, response: bytes, behind: bytes, client: ClientInfo = NOBODY
    ) -> None:
        """Send the handshake's response, accept or refuse, and read what came behind it."""
        # It leaves in one piece with the first frame.
        self._response = response
        self._buffer = behind
        task = self._hub.run(self._admit(target, client))
        if task is None:
            self._read(b"")
        else:
            self._wait_for(task)

    async def _admit(self, target: bytes, client: ClientInfo) -> None:
        path, _, query = target.decode("latin-1").partition("?")
        prefix, _, key = path.partition("/app/")
        if prefix or not key or "/" in key:
            self._refuse(refuse(self._hub, refusals.unknown_path(path), client))
            return
        app = await admit(self._hub, self._apps, unquote(key), query, client)
        if isinstance(app, Refusal):
            self._refuse(app)
        elif not self._open:
            await self._hub.broker.disconnect(app.id)
        else:
            self._connection = Connection(
                self._hub, app, self._settings, self, frames.text_frame, self._response
            )
            self._response = b""
            if self._hub.witness is not None:
                socket_id = self._connection.socket_id
                self._hub.witness.connected(socket_id, "ws", query, client)
            # Whatever the kernel does not take at once is a reason to wait: then the buffer is
            # never more than one write (over TLS two), and the outbox is what is counted. With 0
            # uvloop would say of an empty TLS transport that it is full, and take it back.
            self._transport.set_write_buffer_limits(high=1)

    def _refuse(self, refusal: Refusal) -> None:
        error = messages.error(refusal.message, refusal.code)
        self._end(frames.text_frame(error) + frames.close_frame(refusal.code, refusal.message))

    # Outlet

    def writer(self) -> Callable[[bytes], object]:
        return self._transport.write

    def buffered(self) -> int:
        return self._transport.get_write_buffer_size() if self._open else 0

    def ping(self) -> bytes:
        """Both kinds: browsers answer WebSocket pings unseen, some clients only Pusher's."""
        return _PING

    def close(self, code: int, reason: str) -> bytes:
        return frames.close_frame(code, reason)

    def abort(self) -> None:
        if self._open:
            self._transport.abort()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        if connection is None:
            # Before acceptance bytes wait; after a refusal only the client's close matters.
            if self.due is None:
                self._buffer += data
            else:
                self._await_close(data)
            return
        self._read(data)

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.pause()

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.resume()

    def eof_received(self) -> bool:
        """A client that has stopped sending has left: let the transport close."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._open = False
        self._hub.deadlines.cancel(self)
        self._hub.transient.discard(self)
        self._buffer = b""
        # Neither refers to the other any more, so both are freed at once.
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost()

    def overdue(self) -> None:
        """The client did not answer the close in time."""
        self.abort()

    # Reading

    def _read(self, data: bytes) -> None:
        """Carry out every whole message in ``data``, in order, and keep the rest."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        connection = self._connection
        if connection is None:
            self._await_close(data)
            return
        position, limit = 0, self._settings.max_message_bytes
        messages_left = _MESSAGES_PER_TURN
        while position < len(data) and connection.live:
            if not messages_left:
                self._buffer = data[position:]
                self._transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._read_on)
                return
            start = position
            cut = (
                frames.Cut.OTHER
                if self._library is not None
                else frames.cut_text_frame(data, position, limit)
            )
            if isinstance(cut, tuple):
                payload, position = cut
                task = self._text(connection, payload)
            else:
                end = None
                if cut is frames.Cut.OTHER:
                    end = self._whole_frame_end(data, position)
                if end is None:
                    self._buffer = data[position:]
                    return
                position = end
                task = self._through_library(connection, data[start:end])
            # A whole frame is a sign of life; bytes of one that never ends are not.
            if messages_left == _MESSAGES_PER_TURN:
                connection.hear()
            messages_left -= 1
            if task is not None:
                self._buffer = data[position:]
                self._wait_for(task)
                return
        if not connection.live and position < len(data):
            self._await_close(data[position:])

    def _whole_frame_end(self, data: bytes, start: int) -> int | None:
        """Return where the frame ends, None to wait for more; too long ones are not waited for."""
        end = frames.frame_end(data, start)
        if end is None or end <= len(data):
            return end
        return len(data) if end - start > self._settings.max_message_bytes + 14 else None

    def _text(self, connection: Connection, payload: bytes) -> asyncio.Task[None] | None:
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            connection.fail(1007, "a text message must be valid UTF-8")
            return None
        return receive(connection, text)

    def _through_library(self, connection: Connection, data: bytes) -> asyncio.Task[None] | None:
        """Give the library one frame, or bytes that violate the protocol."""
        library = self._library or ServerProtocol(
            state=WireState.OPEN,
            max_size=self._settings.max_message_bytes,
            logger=library_logger,
        )
        library.receive_data(data)
        answer = b"".join(library.data_to_send())
        if library.state is not WireState.OPEN:
            connection.closed_by_client(answer)
            self._closed_by_client()
            return None
        if answer:
            connection.send_wire(answer)
        task = None
        for frame in library.events_received():
            if isinstance(frame, Frame):
                task = self._frame(connection, frame)
        # Between messages there is nothing in it that a fresh one does not have.
        self._library = library if self._message is not None else None
        return task

    def _frame(self, connection: Connection, frame: Frame) -> asyncio.Task[None] | None:
        if frame.opcode is Opcode.BINARY:
            connection.send(messages.error(refusals.BINARY_FRAME))
            self._message = None if frame.fin else _SKIPPED
        elif frame.opcode is Opcode.TEXT and not frame.fin:
            self._message = bytearray(frame.data)
        elif frame.opcode is Opcode.TEXT:
            return self._text(connection, bytes(frame.data))
        elif frame.opcode is Opcode.CONT:
            message = self._message
            if isinstance(message, bytearray):
                # The library bounds the bytes; one buffer bounds what many small pieces cost.
                message += frame.data
            if frame.fin:
                self._message = None
                if isinstance(message, bytearray):
                    return self._text(connection, bytes(message))
        return None

    def _wait_for(self, task: asyncio.Task[None]) -> None:
        """Read on when ``task`` is done; until then the kernel holds what the client sends."""
        self._transport.pause_reading()
        task.add_done_callback(self._read_on)

    def _read_on(self, task: asyncio.Task[None] | None = None) -> None:
        if self._open:
            self._transport.resume_reading()
            self._read(b"")

    # The end

    def _end(self, last_words: bytes) -> None:
        self._hub.deadlines.set(self, CLOSE_TIMEOUT_SECONDS)
        self._transport.write(self._response + last_words)

    def _await_close(self, data: bytes) -> None:
        """After our close frame, everything but the client's own is thrown away."""
        data = self._buffer + data
        start = min(self._skip, len(data))
        self._skip -= start
        while (end := frames.frame_end(data, start)) is not None and end <= len(data):
            if data[start] & 0x0F == frames.CLOSE:
                self._closed_by_client()
                return
            start = end
        self._buffer = data[start:]
        if end is not None and end - start > _MAX_CONTROL_FRAME_BYTES:
            # A message nobody will read.
            self._buffer, self._skip = b"", end - len(data)

    def _closed_by_client(self) -> None:
        """Both sides have said goodbye, or the client broke the rules: close what is sent."""
        self._transport.close()
