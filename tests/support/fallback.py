"""A client of HTTP streaming and polling on plain blocking sockets: each request is the test's."""

from __future__ import annotations

import json
from typing import Any

from support.serving import Serving
from support.sockets import Answer, Peer, request

#: pusher-js's limit, and how it counts: in what JavaScript takes for characters.
BUFFER_LIMIT = 262_144


def length(text: str) -> int:
    """Return what ``text.length`` is in JavaScript."""
    return len(text.encode("utf-16-le")) // 2


class Receive:
    """One response to ``xhr_streaming`` or ``xhr``, read line by line."""

    def __init__(self, peer: Peer, action: str) -> None:
        self.peer = peer
        self.action = action
        #: All that has been read, as ``responseText`` would be.
        self.text = ""
        self.headers: dict[str, str] = {}
        self._unread = b""
        self._whole = False

    def begin(self) -> Receive:
        """Read the head."""
        lines = self.peer.read_through(b"\r\n\r\n").decode("latin-1").split("\r\n")
        assert lines[0] == "HTTP/1.1 200 OK", lines[0]
        for line in lines[1:-2]:
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value
        return self

    def read_line(self) -> str:
        """Read a line, without its end."""
        while b"\n" not in self._unread:
            assert not self._whole, f"it ended after {self.text[-200:]!r}"
            self._read_piece()
        line, _, self._unread = self._unread.partition(b"\n")
        text = line.decode()
        self.text += text + "\n"
        return text

    def _read_piece(self) -> None:
        if not self.headers:
            self.begin()
        if "content-length" in self.headers:
            self._unread += self.peer.read(int(self.headers["content-length"]))
            self._whole = True
        elif "transfer-encoding" in self.headers:
            size = int(self.peer.read_through(b"\r\n"), 16)
            self._unread += self.peer.read(size)
            assert self.peer.read(2) == b"\r\n"
            self._whole = size == 0
        else:
            self._unread += self.peer.read_rest()
            self._whole = True

    def read_event(self, event: str, channel: str | None = None) -> Any:
        """Read a line with one message, which must be this event; return its data."""
        line = self.read_line()
        assert line[0] == "a", line[:200]
        (text,) = json.loads(line[1:])
        message = json.loads(text)
        assert message["event"] == event, line
        assert message.get("channel") == channel, line
        data = message["data"]
        return json.loads(data) if isinstance(data, str) and data[:1] in "{[" else data

    def read_close(self) -> tuple[int, str]:
        """Read the line that ends the session, and the end of the response behind it."""
        line = self.read_line()
        assert line[0] == "c", line[:200]
        self.read_end()
        code, reason = json.loads(line[1:])
        return code, reason

    def read_end(self) -> None:
        """Read the end of the response, which must be next."""
        while not self._whole:
            self._read_piece()
            assert not self._unread, self._unread[:200]
        assert not self._unread, self._unread[:200]

    def nothing_comes(self) -> bool:
        """Whether nothing is written, and the response does not end, for a moment."""
        assert not self._unread, self._unread[:200]
        return self.peer.nothing_comes()

    @property
    def spent(self) -> bool:
        """Whether pusher-js would post again by now: it is too long, or a poll that is answered."""
        return length(self.text) > BUFFER_LIMIT or (self._whole and not self._unread)

    @property
    def events(self) -> list[str]:
        """The names of the events read so far."""
        lines = [line for line in self.text.split("\n") if line.startswith("a")]
        return [json.loads(text)["event"] for line in lines for text in json.loads(line[1:])]


class FallbackClient:
    """One session of the development app, under a name of the test's choice."""

    def __init__(
        self,
        server: Serving,
        name: str = "793/34vlfh0e",
        *headers: str,
        key: str = "app-key",
        prefix: str = "/pusher",
        query: str = "?protocol=7&client=js&version=8.6.0",
    ) -> None:
        self._server = server
        self._headers = headers
        self._path = f"{prefix}/app/{key}/{name}"
        self._query = query
        self.socket_id = ""

    def ask(self, action: str = "xhr_streaming", version: str = "1.1") -> bytes:
        """Return a receive."""
        target = f"{self._path}/{action}{self._query}&t=1&n=1"
        return request("POST", target, b"", *self._headers, version=version)

    def post(self, body: bytes) -> bytes:
        """Return a request that sends ``body``."""
        target = f"{self._path}/xhr_send?t=1&n=1"
        return request("POST", target, body, "Content-Type: application/json", *self._headers)

    def receive(
        self, action: str = "xhr_streaming", *, receive_buffer_bytes: int | None = None
    ) -> Receive:
        """Begin a receive on a connection of its own; nothing is read."""
        peer = self._server.connect(receive_buffer_bytes=receive_buffer_bytes)
        peer.send(self.ask(action))
        return Receive(peer, action)

    def open(
        self, action: str = "xhr_streaming", *, receive_buffer_bytes: int | None = None
    ) -> Receive:
        """Begin the session and return its first receive, read as far as it is known."""
        receive = self.receive(action, receive_buffer_bytes=receive_buffer_bytes)
        self.established(receive)
        return receive

    def established(self, receive: Receive) -> None:
        assert receive.read_line() == "o"
        data = receive.read_event("pusher:connection_established")
        self.socket_id = data["socket_id"]

    def follow(self, receive: Receive, count: int) -> list[Receive]:
        """Read ``count`` more events as pusher-js does, from as many receives as that takes."""
        receives = [receive]
        for _ in range(count):
            if receive.spent:
                # As a browser gives it up: its connection is closed.
                receive.peer.close()
                receive = self.receive(receive.action)
                receives.append(receive)
            line = receive.read_line()
            assert line[0] == "a", line[:200]
        return receives

    def send(self, *messages: Any) -> Answer:
        """Send messages; a value other than str as JSON."""
        texts = [each if isinstance(each, str) else json.dumps(each) for each in messages]
        return self.send_body(json.dumps(texts).encode())

    def send_body(self, body: bytes) -> Answer:
        return self._server.ask(self.post(body))

    def say(self, event: str, data: Any = None, **keys: Any) -> None:
        """Send one message, which is taken."""
        message = {"event": event, "data": {} if data is None else data, **keys}
        answer = self.send(message)
        assert (answer.status, answer.body) == (204, b""), answer

    def subscribe(self, receive: Receive, channel: str, **data: str) -> Any:
        """Subscribe and read the confirmation, which is returned."""
        self.say("pusher:subscribe", {"channel": channel, **data})
        return receive.read_event("pusher_internal:subscription_succeeded", channel)
