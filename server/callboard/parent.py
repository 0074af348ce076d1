"""Noticing that the process that started this one is gone, however it went.

A child whose parent has died is given another one at once (``_exit(2)``), so the number of the
parent changes. It is asked for a few times a second. The other ways fail somewhere:

1. Standard input ends with the parent only if it is a pipe that the parent keeps open. It may be
   ``/dev/null``, and PHP's Symfony closes it at once.
2. ``PR_SET_PDEATHSIG`` is for Linux alone, and goes by the thread: a pool's idle thread that ends
   would end its process's children (``prctl(2)``).

The parent is whoever started this process itself: a wrapper that waits for it, such as ``npx`` or
``uv run``, is one, and may outlive whoever started the wrapper.

One that is gone before this process could ask for its number is told by the session. A process is
in that of the one that started it, unless it has made one of its own (``setsid(2)``); so a parent
of another session is one that was given. That misses a few cases, such as a child that was started
in a session of its own, and so the number is asked for first of all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

_SECONDS: Final = 0.2


class Parent:
    """The parent of this process at the moment this was made."""

    def __init__(self) -> None:
        pid = os.getppid()
        #: None if it was gone by then.
        self._pid = pid if _started_this(pid) else None

    def watch(self, loop: asyncio.AbstractEventLoop, gone: Callable[[], object]) -> None:
        """Call ``gone()`` on the loop once the parent is no more."""
        if os.getppid() != self._pid:
            gone()
        else:
            loop.call_later(_SECONDS, self.watch, loop, gone)


def _started_this(pid: int) -> bool:
    """Return whether this process may be a child of ``pid`` from the beginning."""
    session = os.getsid(0)
    if session == os.getpid():
        return True
    try:
        return os.getsid(pid) == session
    except ProcessLookupError:
        return False
    except OSError:  # Some systems tell nothing of other sessions.
        return True
