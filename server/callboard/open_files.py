"""The open files limit: each connection takes one file."""

from __future__ import annotations

import resource


def raise_limit() -> int | None:
    """Raise this process's soft limit to the hard one; return it, None if there is no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (ValueError, OSError):
        pass  # macOS calls it unlimited and then refuses to set that; the soft limit stays
    return None if soft == resource.RLIM_INFINITY else soft
