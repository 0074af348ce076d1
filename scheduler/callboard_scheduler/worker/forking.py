"""Children of a fork let go of the workers' sockets.

A forked child has the worker's socket too. While it lives, the kernel does not close the
connection of a worker that is killed, and the service would not see it end. So each child puts
``/dev/null`` in the socket's place: closing the number would let another file get it, which the
child's copy of the connection would then believe to be its socket.

A child in which a task's function comes to its end has nothing more to do: nobody there hears of
results, and its threads and its loop are the worker's. It ends.

Programs that are started by :mod:`subprocess` close it by themselves.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

_guarded: set[int] = set()


def guard(fd: int) -> None:
    """Let future children of this process let go of a socket."""
    _guarded.add(fd)


def release(fd: int) -> None:
    """The socket is closed: its number may be another's."""
    _guarded.discard(fd)


def end_child(error: BaseException | None) -> NoReturn:
    """End a child in which a function has returned, or raised ``error``, as Python would."""
    status = 0 if error is None else 1
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        status = error.code or 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it
    os._exit(status & 0xFF)


def _in_child() -> None:
    if not _guarded:
        return
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in _guarded:
        os.dup2(nothing, fd, inheritable=False)
    os.close(nothing)
    _guarded.clear()


os.register_at_fork(after_in_child=_in_child)
