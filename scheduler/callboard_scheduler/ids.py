"""Ids of tasks: unique without asking anybody, and in order of time."""

from __future__ import annotations

import secrets


def task_id(wall_ms: int) -> str:
    """Return a UUIDv7 (RFC 9562) as 32 hex digits; the store's index likes that they grow."""
    value = (wall_ms & (2**48 - 1)) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 7 << 76
    return f"{value & ~(3 << 62) | 2 << 62:032x}"
