"""Where the client's time of day comes in: a signed request carries a timestamp."""

from __future__ import annotations

import time


def unix_time() -> float:
    """Return Unix time in seconds."""
    return time.time()  # noqa: TID251 - the one place it comes from
