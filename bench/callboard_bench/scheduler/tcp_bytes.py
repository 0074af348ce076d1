"""How many bytes a server's connections have carried, as the kernel counts them.

``NETLINK_SOCK_DIAG`` (``man 7 sock_diag``) tells of each TCP socket what it has sent and received,
with nothing asked of the processes at either end. A connection that was closed is not told of.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_DONE: Final = 3
_ERROR: Final = 2
_REQUEST_DUMP: Final = 0x301
_INFO: Final = 2
_ESTABLISHED: Final = 1
_BUFFER: Final = 1 << 17

_HEADER: Final = struct.Struct("=IHHII")
#: Family, protocol, attributes, padding, states; and a socket's id, which is any.
_QUESTION: Final = struct.Struct("=BBBBI48x")
#: What precedes the attributes of an answer; the local port is 4 bytes in, the first of its id.
_MESSAGE_BYTES: Final = 72
_PORT: Final = struct.Struct("!4xH")
_ATTRIBUTE: Final = struct.Struct("=HH")
#: ``tcpi_bytes_acked`` and ``tcpi_bytes_received`` of ``struct tcp_info``.
_BYTES: Final = struct.Struct("=120xQQ")


def carried_bytes(port: int) -> int:
    """Return the bytes of all connections to a local port, both ways.

    Raises:
        OSError: the kernel does not tell.
    """
    total = 0
    for family in (socket.AF_INET, socket.AF_INET6):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            question = _QUESTION.pack(
                family, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0, 1 << _ESTABLISHED
            )
            size = _HEADER.size + len(question)
            kernel.send(_HEADER.pack(size, _BY_FAMILY, _REQUEST_DUMP, 1, 0) + question)
            total += _answered(kernel, port)
    return total


def _answered(kernel: socket.socket, port: int) -> int:
    total = 0
    while True:
        data = kernel.recv(_BUFFER)
        while data:
            size, kind, *_ = _HEADER.unpack_from(data)
            message, data = data[_HEADER.size : size], data[size + 3 & ~3 :]
            if kind == _DONE:
                return total
            if kind == _ERROR:
                raise OSError("the kernel does not tell of TCP connections (NETLINK_SOCK_DIAG)")
            if _PORT.unpack_from(message)[0] == port:
                total += _of(message[_MESSAGE_BYTES:])


def _of(attributes: bytes) -> int:
    while len(attributes) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _INFO:
            return sum(_BYTES.unpack_from(attributes[_ATTRIBUTE.size :]))
        attributes = attributes[size + 3 & ~3 :]
    return 0
