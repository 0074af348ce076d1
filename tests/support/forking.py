"""What a process sees that was forked from the test's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def in_a_fork(check: Callable[[], object]) -> bool:
    """Return whether ``check`` raises nothing there, and comes to an end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            # One that waits for a thread of its parent's ends by this.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            check()
            status = 0
        finally:
            # Nothing of the test's own is to be cleaned up twice.
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0
