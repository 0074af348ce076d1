"""Requests whose headers have been read before: a backend sends the same ones again and again.

From one trigger to the next only the first line and the body differ, and most of what it costs to
read one lies between them. What a block of headers means depends on nothing but its bytes, so what
the parser has read once it need not read again. A request is taken without the parser if

1. it is a ``POST`` of HTTP/1.1 to a path, and all that was read since the one before;
2. its headers are, byte for byte, those of such a request that the parser has read, whose body
   stood behind them as it is, in no transfer coding, and whose connection stayed;
3. its body is just as long, which is what those headers say.

Everything else is the parser's, and so is every refusal.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from callboard_server.front.request import Request

#: How many blocks of headers are kept, and how long one may be, in bytes.
MAX_BLOCKS: Final = 256
MAX_BLOCK_BYTES: Final = 1024

#: A first line up to its end, with no character in the target that is anything but a part of it.
_LINE: Final = re.compile(rb"POST (/[\w\-./~%!$&'()*+,;=:@?]{,4096}) HTTP/1\.1(?=\r\n)", re.ASCII)


class _Block(msgspec.Struct, frozen=True, gc=False):
    """What a block of headers means."""

    headers: list[tuple[bytes, bytes]]
    body_bytes: int


class KnownHeads:
    """The blocks that were read lately, for all connections of a front."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, _Block] = {}

    def read(self, data: bytes) -> Request | None:
        """Return the request that ``data`` is, from the first to the last byte, if it is known."""
        line = _LINE.match(data)
        if line is None:
            return None
        end = line.end()
        body = data.find(b"\r\n\r\n", end) + 4
        block = self._blocks.get(data[end:body])
        if block is None or len(data) - body != block.body_bytes:
            return None
        return Request("POST", line[1], "1.1", block.headers, data[body:])

    def learn(self, data: bytes, request: Request) -> bool:
        """Take note of the request that the parser has found in ``data``.

        Returns whether it is all that ``data`` is, and another one may follow it.
        """
        line = _LINE.match(data)
        if line is None or line[1] != request.target:
            return False
        end = line.end()
        body = data.find(b"\r\n\r\n", end) + 4
        if data[body:] != request.body or not request.keep_alive:
            return False
        if body - end <= MAX_BLOCK_BYTES:
            if len(self._blocks) == MAX_BLOCKS:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[data[end:body]] = _Block(request.headers, len(request.body))
        return True
