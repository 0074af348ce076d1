"""An app's backend is told, by signed POSTs, what happens on its channels.

1. What happens is noted where it happens (:mod:`.observing`): filtered, written as JSON once, and
   appended to the queue of each webhook that wants it. Nothing there waits.
2. What a client that was cut off leaves behind is held for three seconds and told only if the
   client has not come back by then (:mod:`.settling`).
3. Each webhook has a bounded queue of its own and, while it holds anything, one worker
   (:mod:`.deliveries`), so that requests of one webhook arrive in order, no app's events share
   a request with another's, and a receiver that is slow or down delays nobody else.
4. A request that is not answered 2xx is repeated, the same bytes, until it is five minutes old
   (:mod:`.backoff`); what is dropped is counted and logged, a line a minute at most
   (:mod:`.complaints`).
5. Where a request may go is decided at the moment of connecting, by the address itself
   (:mod:`.targets`, :mod:`.posting`); names are looked up where nothing has to wait for an answer
   that does not come (:mod:`.resolving`).
"""

from __future__ import annotations

from callboard_server.webhooks.observing import Webhooks
from callboard_server.webhooks.timing import Timing

__all__ = ["Timing", "Webhooks"]
