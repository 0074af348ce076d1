from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from callboard_bench.stamps import EVENT, stamped_data
from callboard_bench.subscribers import Subscribers
from callboard_bench.websocket import Unexpected
from callboard_protocol.frames import text_frame
from callboard_protocol.messages import (
    channel_event,
    connection_established,
    error,
    subscription_succeeded,
)

CHANNEL = "bench"


def numbered(sequence: int) -> bytes:
    return text_frame(channel_event(EVENT, CHANNEL, stamped_data(sequence, 0, CHANNEL, 220)))


class FaultyServer:
    """Upgrades every connection and then writes whatever a test makes it write."""

    def __init__(self) -> None:
        self.port = 0
        self.accepted: list[asyncio.StreamWriter] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.first = text_frame(connection_established("1.1", 120))

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        writer.write(self.first)
        await reader.read(1)
        writer.write(text_frame(subscription_succeeded(CHANNEL)))
        self.writers.append(writer)


@asynccontextmanager
async def faulty_server() -> AsyncIterator[FaultyServer]:
    faulty = FaultyServer()
    server = await asyncio.start_server(faulty.accept, "127.0.0.1", 0)
    faulty.port = server.sockets[0].getsockname()[1]
    try:
        yield faulty
    finally:
        server.close()
        for writer in faulty.accepted:
            writer.close()
            await writer.wait_closed()


async def received(server: FaultyServer, *frames: tuple[bytes, ...]) -> str | None:
    """Send each subscriber its own frames and return the faults of three published messages."""
    subscribers = Subscribers("127.0.0.1", server.port, "/app/key")
    await subscribers.subscribe([CHANNEL] * len(frames))
    for writer, sent in zip(server.writers, frames, strict=True):
        writer.write(b"".join(sent))
    await subscribers.arrived(sum(map(len, frames)), quiet_seconds=1, timeout_seconds=5)
    tally = subscribers.finish(published=3)[0]
    return tally.audited().fault()


async def test_every_message_once_and_in_order_is_no_fault() -> None:
    good = (numbered(0), numbered(1), numbered(2))
    async with faulty_server() as server:
        assert await received(server, good, good) is None


@pytest.mark.parametrize(
    ("sequences", "fault"),
    [
        ((0, 2), "1 of 9 lost"),
        ((0, 1, 1, 2), "1 of 9 duplicated"),
        ((0, 2, 1), "1 of 9 out of order"),
        ((), "3 of 9 lost"),
    ],
)
async def test_the_fault_of_one_subscriber_is_not_hidden_by_the_others(
    sequences: tuple[int, ...], fault: str
) -> None:
    good = (numbered(0), numbered(1), numbered(2))
    async with faulty_server() as server:
        assert await received(server, good, tuple(map(numbered, sequences)), good) == fault


async def test_a_connection_that_ends_early_is_a_fault() -> None:
    async with faulty_server() as server:
        subscribers = Subscribers("127.0.0.1", server.port, "/app/key")
        await subscribers.subscribe([CHANNEL])
        server.writers[0].close()
        await server.writers[0].wait_closed()
        await subscribers.arrived(1, quiet_seconds=0.1, timeout_seconds=5)

        faults = subscribers.finish(published=0)[0].faults()
    assert faults == "1 connections closed by the server"


async def test_only_the_counted_messages_have_a_latency() -> None:
    async with faulty_server() as server:
        subscribers = Subscribers("127.0.0.1", server.port, "/app/key")
        await subscribers.subscribe([CHANNEL] * 2)
        subscribers.count(1, 2)
        for writer in server.writers:
            writer.write(b"".join(map(numbered, range(4))))
        await subscribers.arrived(8, quiet_seconds=1, timeout_seconds=5)

        assert len(subscribers.finish(published=4)[1]) == 2 * 2


async def test_a_refused_subscriber_fails_with_the_servers_words() -> None:
    async with faulty_server() as server:
        server.first = text_frame(error("App key key not in this cluster", 4001))
        subscribers = Subscribers("127.0.0.1", server.port, "/app/key")

        with pytest.raises(ExceptionGroup) as raised:
            await subscribers.subscribe([CHANNEL])
    assert isinstance(raised.value.exceptions[0], Unexpected)
    assert "App key key not in this cluster" in str(raised.value.exceptions[0])
