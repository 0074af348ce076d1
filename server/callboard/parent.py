"""Noticing that the process that started this one is gone, however it went.

A child whose parent has died is given another one at once (``_exit(2)``), so the number of the
parent changes. It is asked for a few times a second. The other ways fail somewhere:

1. Standard input ends with the parent only if it is a pipe that the parent keeps open. It may be
   ``/dev/null``, and PHP's Symfony closes it at once.
2. ``PR_SET_PDEATHSIG`` is for Linux alone, and goes by the thread: a pool's idle thread that ends
   would end its process's children (``prctl(2)``).

The parent is whoever started this process itself: a wrapper that waits for it, such as ``npx`` or
``uv run``, is one, and may outlive whoever started the wrapper. One that is gone before this
process can ask for its number is not missed, so that is asked for first of all.
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
        self._pid = os.getppid()

    def watch(self, loop: asyncio.AbstractEventLoop, gone: Callable[[], object]) -> None:
        """Call ``gone()`` on the loop once the parent is no more."""
        if os.getppid() != self._pid:
            gone()
        else:
            loop.call_later(_SECONDS, self.watch, loop, gone)
