"""The flush: one write per connection and turn, in slices, in order, and never stuck."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from callboard_server.outbox import SLICE_SECONDS, Flusher, Outbox


class Loop:
    """Turns that a test takes by hand, with a clock that only writes move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: deque[Callable[[], None]] = deque()

    def turn(self) -> None:
        """Run what was scheduled before this turn."""
        for _ in range(len(self.soon)):
            self.soon.popleft()()


class Client:
    """A connection whose write takes some time."""

    def __init__(self, loop: Loop, write_seconds: float = 0.0) -> None:
        self.outbox: Outbox = None
        self.paused = False
        self.written: list[bytes] = []
        self.held: list[bytes] = []
        self.write: Callable[[bytes], object] = self._write
        self._loop = loop
        self._write_seconds = write_seconds

    def _write(self, data: bytes) -> None:
        self._loop.now += self._write_seconds
        self.written.append(data)

    def cut(self) -> None:
        raise AssertionError("no write fails here")

    def hold(self, data: bytes) -> None:
        self.held.append(data)


def make() -> tuple[Loop, Flusher]:
    loop = Loop()
    return loop, Flusher(loop.soon.append, lambda: loop.now)


def test_frames_of_one_turn_leave_in_one_write() -> None:
    loop, flusher = make()
    client = Client(loop)
    for frame in (b"1", b"2", b"3"):
        flusher.send(client, frame)
    flusher.send_all([client], b"4")
    assert not client.written
    loop.turn()
    assert client.written == [b"1234"]
    assert not loop.soon, "nothing to do, nothing scheduled"


def test_a_frame_for_all_leaves_out_the_excluded() -> None:
    loop, flusher = make()
    clients = [Client(loop) for _ in range(3)]
    flusher.send_all(clients, b"frame", clients[1])
    loop.turn()
    assert [client.written for client in clients] == [[b"frame"], [], [b"frame"]]


def test_what_all_hear_keeps_its_place_between_what_each_hears_alone() -> None:
    loop, flusher = make()
    clients = [Client(loop) for _ in range(4)]
    flusher.send(clients[1], b"a")
    flusher.send_all(clients, b"1")
    flusher.send(clients[2], b"b")
    flusher.send_all(clients, b"2", clients[0])
    flusher.send_all(clients, b"3")
    loop.turn()
    assert [client.written for client in clients] == [[b"13"], [b"a123"], [b"1b23"], [b"123"]]


def test_those_who_hear_the_same_are_written_the_same_bytes() -> None:
    loop, flusher = make()
    clients = [Client(loop) for _ in range(3)]
    for frame in (b"1", b"2", b"3"):
        flusher.send_all(clients, frame)
    loop.turn()
    assert clients[0].written == [b"123"]
    assert len({id(client.written[0]) for client in clients}) == 1, "joined once for all of them"


def test_a_long_queue_is_flushed_in_slices() -> None:
    loop, flusher = make()
    clients = [Client(loop, SLICE_SECONDS / 8) for _ in range(100)]
    flusher.send_all(clients, b"frame")
    turns = 0
    while loop.soon:
        began = loop.now
        loop.turn()
        turns += 1
        assert loop.now - began <= 3 * SLICE_SECONDS
    assert turns > 3
    assert all(client.written == [b"frame"] for client in clients)


def test_frames_that_come_meanwhile_ride_along() -> None:
    loop, flusher = make()
    clients = [Client(loop, SLICE_SECONDS / 8) for _ in range(100)]
    flusher.send_all(clients, b"1")
    loop.turn()
    flusher.send_all(clients, b"2")
    while loop.soon:
        loop.turn()
    assert {b"".join(client.written) for client in clients} == {b"12"}
    assert clients[-1].written == [b"12"], "it had not been written yet"


def test_what_is_sent_during_a_flush_is_flushed_too() -> None:
    loop, flusher = make()
    first, second = Client(loop), Client(loop)
    first.write = lambda data: flusher.send(second, b"answer to " + data)
    flusher.send(first, b"question")
    for _ in range(3):
        loop.turn()
    assert second.written == [b"answer to question"]
    assert not loop.soon


def test_frames_of_a_full_transport_are_its_connections_to_hold() -> None:
    loop, flusher = make()
    full, free = Client(loop), Client(loop)
    full.paused = True
    flusher.send_all([full, free], b"1")
    flusher.send_all([full, free], b"2")
    loop.turn()
    assert (full.written, full.held) == ([], [b"12"])
    assert free.written == [b"12"]


def test_an_outbox_that_was_emptied_is_passed_over() -> None:
    loop, flusher = make()
    ended, other = Client(loop), Client(loop)
    flusher.send_all([ended, other], b"frame")
    ended.outbox = None
    loop.turn()
    assert (ended.written, other.written) == ([], [b"frame"])
