"""The core at work: one app's :class:`Scheduler`, on a loop, with a store and a transport.

Everything runs on the loop. :mod:`driver` turns each step's outcome into writes, messages and
answers, and comes back when something is due, with the help of :mod:`unstored` while the store
fails and of :mod:`deafness` while nobody can be heard; :mod:`incoming` is what the transport tells;
:mod:`outgoing` what it is given; :mod:`feeds` what the world is shown; :mod:`scheduler` puts
them together and is what the API calls.
"""

from __future__ import annotations

from callboard_scheduler.engine.scheduler import KEEP_MS, MAX_BACKLOG, Scheduler

__all__ = ["KEEP_MS", "MAX_BACKLOG", "Scheduler"]
