"""Lines on their way to the disk: in order, bounded, and never quietly late."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading

import pytest

from callboard.traffic.recorder import Recorder
from callboard.traffic.writing import Writer


class Disk:
    """Takes what it is given, in pieces, and only while it may."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.may_write = threading.Event()
        self.may_write.set()
        self.full = False

    def write(self, data: memoryview, /) -> int:
        self.may_write.wait()
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        piece = data[: max(1, len(data) // 2)]
        self.written += piece
        return len(piece)


async def test_lines_are_written_in_order_and_whole() -> None:
    disk = Disk()
    writer = Writer(disk)
    lines = [f"{number}\n".encode() for number in range(1000)]
    for line in lines:
        writer.write(line)
        await writer.room()
    await writer.close()
    assert disk.written == b"".join(lines)


async def test_who_makes_lines_waits_for_a_slow_disk_and_goes_on_with_it() -> None:
    disk, stalls = Disk(), []
    writer = Writer(disk, on_stall=lambda: stalls.append(1), max_waiting_bytes=10)
    disk.may_write.clear()
    writer.write(b"12345\n")
    await writer.room()
    writer.write(b"67890\n")
    waiting = asyncio.create_task(writer.room())
    await asyncio.sleep(0)
    assert stalls == [1]
    assert not waiting.done()
    disk.may_write.set()
    await waiting
    await writer.close()
    assert disk.written == b"12345\n67890\n"


async def test_a_full_disk_ends_the_recording_and_holds_nobody() -> None:
    disk = Disk()
    disk.full = True
    writer = Writer(disk, max_waiting_bytes=1)
    disk.may_write.clear()
    writer.write(b"lost\n")
    waiting = asyncio.create_task(writer.room())
    disk.may_write.set()
    await waiting
    assert (await writer.failure).errno == errno.ENOSPC
    writer.write(b"forgotten\n")
    await writer.room()
    await writer.close()
    assert disk.written == b""


async def test_a_recording_says_how_long_the_disk_held_traffic_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk, now = Disk(), [100.0]
    recorder = Recorder(disk, time=lambda: now[0], started_ms=0)
    connection = recorder.connect("websocket", "k", [])
    disk.may_write.clear()
    while not caplog.records:
        connection.client(b'{"event":"client-long","data":"%s"}' % (b"x" * 1_000_000))
    now[0] += 2.5
    waiting = asyncio.create_task(recorder.room())
    disk.may_write.set()
    await waiting
    await recorder.close()
    assert b'{"what":"held","ms":2500.0,"for_ms":2500.0}' in bytes(disk.written)
    assert [record.message for record in caplog.records] == [
        "the disk takes the recording too slowly: traffic waits until it has",
        "the disk has caught up: traffic waited for 2.5 s",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
