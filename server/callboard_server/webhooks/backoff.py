"""How long to wait before a failed request is repeated."""

from __future__ import annotations


def pause(failures: int, first: float, longest: float, chance: float) -> float:
    """Return the seconds to wait after the ``failures``-th failure in a row, from 1.

    ``first``, twice that, four times that, up to ``longest``; then a quarter more or less, as
    ``chance`` (from 0 to 1) says, so that receivers that went down together are not asked together.
    """
    # Beyond this the power would only grow.
    doublings = min(failures - 1, 32)
    return float(min(longest, first * 2**doublings) * (0.75 + chance / 2))
