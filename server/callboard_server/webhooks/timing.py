"""How long webhooks wait for what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """All in seconds; the first two and ``first_retry`` are as hosted Pusher documents them."""

    #: How long a client that was cut off may take to come back without anybody being told; with
    #: 0 its going is told at once.
    settle: float = 3.0
    #: How old an event may become before it is given up.
    retry_for: float = 300.0
    #: About how long after a failure the first retry comes; each further pause is twice as long.
    first_retry: float = 1.0
    #: No pause is longer, so that a receiver that is back does not wait for minutes.
    longest_pause: float = 30.0
    #: What happens within it goes in one request, where batches are wanted.
    batch_window: float = 0.05
    #: How long after a ``cache_miss`` another of the same channel is not told.
    cache_miss: float = 10.0
    #: How long the end of the server waits for what is still queued.
    farewell: float = 1.0
