"""The work that other figures are divided by: always the same, in Python and in OpenSSL.

Half of its time goes into the interpreter (a loop over a dictionary, numbers and text) and half
into SHA-256, as in a server that signs. Changing it makes every saved run incomparable; then
:data:`VERSION` goes up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import repeat
from typing import Final

from callboard_bench.micro.benchmark import Benchmark, Body

VERSION: Final = 1

_BLOCK: Final = b"callboard" * 28


def _operation() -> str:
    places: dict[str, int] = {}
    for number in range(8):
        places[f"channel-{number}"] = number * number
    total = sum(places.values())
    digest = sha256(_BLOCK)
    digest.update(total.to_bytes(8, "big"))
    return digest.hexdigest()


@contextmanager
def _prepare() -> Iterator[Body]:
    def body(turns: int) -> None:
        for _ in repeat(None, turns):
            _operation()

    yield body


CALIBRATION: Final = Benchmark(
    "calibration", "a fixed piece of Python and SHA-256, for comparison across runs", _prepare
)
