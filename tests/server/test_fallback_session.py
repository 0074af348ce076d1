"""Whatever happens to its responses, a session loses, doubles and reorders nothing.

Without sockets: a kernel that takes writes, takes them later, or, as asyncio's TLS does, says that
it is full and that it is not before the write returns.
"""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callboard_server.brokers.memory import MemoryBroker
from callboard_server.deadlines import Deadlines
from callboard_server.fallback import lines
from callboard_server.fallback.session import Session
from callboard_server.front.exchange import Exchange
from callboard_server.front.request import Encoder, Request, Response
from callboard_server.hub import Hub
from callboard_server.outbox import Flusher
from callboard_server.settings import Settings, development_app
from support.fallback import length

#: A limit that a few lines reach.
LIMIT = 300
ENCODER = Encoder(lambda: 0.0)


class Kernel:
    """The transport of one exchange, and the connection below it."""

    def __init__(self, *, streaming: bool, tls: bool, stalled: bool) -> None:
        self.streaming = streaming
        self.whole = False
        self._tls = tls
        self._stalled = stalled
        self._buffered = 0
        self._body = b""
        self.exchange = Exchange(
            self, cast("asyncio.Transport", self), ENCODER, Request("POST", b"/", "1.1", [])
        )

    @property
    def text(self) -> str:
        """What the client reads, as ``responseText``."""
        if not self.streaming:
            return self._body.decode()
        text, rest = b"", self._body.partition(b"\r\n\r\n")[2]
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            text += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return text.decode()

    def stall(self) -> None:
        self._stalled = True

    def take(self) -> None:
        self._stalled = False
        if self._buffered:
            self._buffered = 0
            self.exchange.resume()

    @property
    def holds(self) -> bool:
        """Whether something was written that a cut would lose."""
        return self._buffered > 0

    @property
    def takes(self) -> bool:
        """Whether the response is one that lines are to be written to at once."""
        return self.streaming and not self.whole and not self.holds and length(self.text) <= LIMIT

    # Transport

    def write(self, data: bytes) -> None:
        assert not self._buffered or b"\na[" not in data, "it takes no more"
        self._body += data
        if self._stalled:
            self._buffered += len(data)
        if self._stalled or self._tls:
            self.exchange.pause()
        if self._tls and not self._stalled:
            self.exchange.resume()

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        if self._tls:
            self.exchange.pause()
            self.exchange.resume()

    def get_write_buffer_size(self) -> int:
        return self._buffered

    # Carrier

    def closes_behind(self, request: Request) -> bool:
        return False

    def answered(self, exchange: Exchange, response: Response | None) -> None:
        if response is not None:
            self._body = response.body
        self.whole = True
        exchange.over()

    def abort(self) -> None:
        self.exchange.over()


class Bench:
    """A session, and a client that posts when the test says so."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._callbacks: list[Callable[[], None]] = []
        flusher = Flusher(self._callbacks.append, lambda: 0.0)
        self.hub = Hub(MemoryBroker(lambda: 0.0), flusher, Deadlines(0.0), lambda: 0.0)
        self.unattended: set[Session] = set()
        self.forgotten = 0
        self.session = Session(
            self.hub, development_app(), settings or Settings(), self.unattended, self._forget
        )
        (connection,) = self.hub.connections.values()
        self.connection = connection
        self.kernels: list[Kernel] = []
        self.published = 0

    def _forget(self) -> None:
        self.forgotten += 1

    def publish(self, text: str) -> None:
        payload = json.dumps({"n": self.published, "text": text}, ensure_ascii=False)
        self.published += 1
        self.connection.send(payload.encode())

    @property
    def flushed(self) -> bool:
        return not self._callbacks

    def flush(self) -> None:
        while self._callbacks:
            self._callbacks.pop(0)()

    def receive(self, *, streaming: bool, tls: bool = False, stalled: bool = False) -> Kernel:
        kernel = Kernel(streaming=streaming, tls=tls, stalled=stalled)
        self.kernels.append(kernel)
        self.session.attend(kernel.exchange, streaming=streaming)
        return kernel

    def cut(self) -> None:
        """End the current receive, unless something would be lost that nobody can know of."""
        if self.kernels and not self.kernels[-1].holds and not self.kernels[-1].whole:
            self.kernels[-1].whole = True
            self.kernels[-1].exchange.over()

    def heard(self) -> list[int]:
        """Return the numbers of what the client has read, in the order of its requests."""
        text = "".join(kernel.text for kernel in self.kernels)
        found = [json.loads(line[1:]) for line in text.splitlines() if line[0] == "a"]
        messages = [json.loads(message) for each in found for message in each]
        return [message["n"] for message in messages if "n" in message]


STREAMS = {"stream": {}, "stream over TLS": {"tls": True}, "stalled stream": {"stalled": True}}
#: One character of each length that UTF-8 has, and one that JSON escapes, a few times over.
TEXT = st.builds(lambda each, times: each * times, st.sampled_from('xž漢🐴"'), st.integers(1, 90))
STEP = st.one_of(
    # A publish that is flushed alone, and one that waits for company.
    st.tuples(st.just("send"), TEXT),
    st.tuples(st.just("publish"), TEXT),
    st.tuples(
        st.sampled_from(["flush", "cut", "stall", "take", "poll", *STREAMS]),
        st.just(""),
    ),
)


def perform(bench: Bench, step: str, text: str) -> None:
    if step in ("publish", "send"):
        bench.publish(text)
        if step == "send":
            bench.flush()
    elif step == "flush":
        bench.flush()
    elif step == "cut":
        bench.cut()
    elif step in ("stall", "take"):
        if bench.kernels:
            getattr(bench.kernels[-1], step)()
    elif not (bench.kernels and bench.kernels[-1].holds):
        bench.receive(streaming=step in STREAMS, **STREAMS.get(step, {}))


@given(st.lists(STEP, min_size=10, max_size=60))
@example([("stream", ""), *[("send", "x" * 50)] * 12])
@example(
    [
        ("stream", ""),
        ("stall", ""),
        *[("publish", "x" * 90)] * 4,
        ("flush", ""),
        ("take", ""),
        ("send", "x"),
    ]
)
@example([("publish", "x" * 120)] * 9 + [("flush", ""), ("stream over TLS", "")] * 5)
@example([("stream", ""), *[("publish", "x" * length) for length in range(50)], ("flush", "")])
@example([("stream", ""), *[("send", "🐴")] * 40])
def test_nothing_is_lost_doubled_or_reordered(steps: Sequence[tuple[str, str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "MAX_RESPONSE_UNITS", LIMIT)
        bench = Bench()
        for step, text in steps:
            perform(bench, step, text)
            if bench.flushed and bench.kernels and bench.kernels[-1].takes:
                assert bench.heard() == list(range(bench.published)), "nothing is held back"
        if bench.kernels:
            bench.kernels[-1].take()
        bench.flush()
        for _ in range(bench.published + 1):
            bench.receive(streaming=False)
            bench.flush()
    assert bench.heard() == list(range(bench.published))
    opened = [kernel for kernel in bench.kernels if kernel.text.startswith("o\n")]
    assert len(opened) <= 1
    for kernel in bench.kernels:
        *others, _ = kernel.text.splitlines(keepends=True) or [""]
        assert length("".join(others)) <= LIMIT, "nothing behind the line that passed the limit"


def test_nothing_comes_behind_the_close_of_a_client_that_is_found_too_slow_while_it_is_written_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "MAX_RESPONSE_UNITS", LIMIT)
    bench = Bench(Settings(max_outbox_bytes=LIMIT // 2))
    stream = bench.receive(streaming=True)
    bench.flush()
    stream.stall()
    for _ in range(10):
        bench.publish("x" * 60)
    bench.flush()
    assert bench.hub.slow_clients == 1
    rest = bench.receive(streaming=True).text.splitlines()
    assert "too slowly" in rest[0]
    assert [line[0] for line in rest] == ["a", "c"]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_session_that_is_over_is_freed_at_once(streaming: bool) -> None:
    gc.disable()
    try:
        bench = Bench()
        bench.receive(streaming=streaming)
        bench.flush()
        bench.cut()
        gone: weakref.ref[Any] = weakref.ref(bench.connection)
        assert bench.unattended == {bench.session}
        bench.session.overdue()
        assert (bench.forgotten, bench.unattended, bench.hub.connections) == (1, set(), {})
        hub = bench.hub
        assert len(hub.deadlines) == len(hub.transient) == 0
        del bench
        assert gone() is None
    finally:
        gc.enable()
