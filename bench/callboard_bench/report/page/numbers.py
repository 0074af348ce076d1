"""How figures are written: with the digits that count, and a unit that keeps them short."""

from __future__ import annotations

import math
from typing import Any, Final

#: What stands for a figure that there is not.
NOTHING: Final = "–"


def fixed(value: float | None, digits: int) -> str:
    """Return a figure with so many decimals, its thousands apart."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def short(value: float | None) -> str:
    """Return a figure with three digits that count, all of them if it is larger."""
    if value is None:
        return NOTHING
    if not value:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


def microseconds(value: float | None) -> str:
    """Return a time in the unit that suits it."""
    if value is None:
        return NOTHING
    if value < 1_000:
        return f"{short(value)} µs"
    if value < 1_000_000:
        return f"{short(value / 1_000)} ms"
    return f"{short(value / 1_000_000)} s"


def plain(value: Any) -> str:
    """Return an option's value as a person writes it."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return ", ".join(plain(each) for each in value)
    return str(value)
