"""The picture of a run under way: three lines, redrawn as messages come.

::

    fanout · round 2 of 3 · callboard · about 20 s left
    counting ━━━━━━━━━━━━━━━━━━━━━━━━━━━━╺━━━━━━━━━━━ 71,000 of 100,000
    19,980 deliveries/s · p99 3.1 ms · server CPU 24 % · RSS 54 MiB

How long it still takes is known once a round is done: the rounds to come take what those of the
same server took.
"""

from __future__ import annotations

import math
from typing import Final

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_BAR_COLUMNS: Final = 40
_SEPARATOR: Final = " · "

#: How a sample is shown, by its name, and in which order; others follow as "name value".
_SAMPLES: Final = {
    "deliveries_per_second": "{:,.0f} deliveries/s",
    "requests_per_second": "{:,.0f} requests/s",
    "connections_per_second": "{:,.0f} connections/s",
    "p99_ms": "p99 {:,.1f} ms",
    "server_cpu_percent": "server CPU {:.0f} %",
    "server_rss_mib": "RSS {:,.0f} MiB",
}


class Scene:
    """Takes what a display is told, with the time, and draws what is known."""

    def __init__(self) -> None:
        self._title = ""
        self._round = (0, 0)
        self._contender = ""
        self._began_ns = 0
        #: How long the last round of each contender took, in the order of the run.
        self._took_ns: dict[str, int] = {}
        self._phase: tuple[str, int | None] = ("", None)
        self._done = 0
        self._samples: dict[str, float] = {}

    def begin(self, title: str, *, now_ns: int) -> None:
        self._title = title
        self._round, self._contender = (0, 0), ""
        self._took_ns = {}

    def round(self, contender: str, number: int, count: int, *, now_ns: int) -> None:
        if self._contender:
            self._took_ns[self._contender] = now_ns - self._began_ns
        self._round, self._contender, self._began_ns = (number, count), contender, now_ns
        self._samples = {}
        self.phase("starting", None, now_ns=now_ns)

    def phase(self, name: str, total: int | None, *, now_ns: int) -> None:
        self._phase, self._done = (name, total), 0

    def count(self, done: int, *, now_ns: int) -> None:
        self._done = done

    def sample(self, name: str, value: float, *, now_ns: int) -> None:
        self._samples[name] = value

    def left_seconds(self, now_ns: int) -> float:
        """Return how long the run still takes, NaN while that cannot be known.

        It can from the second round on, when each contender has had its first.
        """
        number, count = self._round
        if self._contender not in self._took_ns:
            return math.nan
        names = list(self._took_ns)
        behind = names.index(self._contender)
        left = self._took_ns[self._contender] - (now_ns - self._began_ns)
        left += sum(self._took_ns[name] for name in names[behind + 1 :])
        left += (count - number) * sum(self._took_ns.values())
        return max(0.0, left / 1e9)

    def drawn(self, now_ns: int) -> Group:
        """Return the picture."""
        parts = [self._title]
        if self._contender:
            parts += ["round {} of {}".format(*self._round), self._contender]
        left = self.left_seconds(now_ns)
        if not math.isnan(left):
            parts.append(f"about {math.ceil(left)} s left")
        return Group(
            Text(_SEPARATOR.join(parts), style="bold", no_wrap=True, overflow="ellipsis"),
            self._progress(),
            Text(_SEPARATOR.join(self._figures()), no_wrap=True, overflow="ellipsis"),
        )

    def _progress(self) -> Table | Text:
        name, total = self._phase
        if not total:
            return Text(name if not self._done else f"{name} {self._done:,}")
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=total, completed=min(self._done, total), width=_BAR_COLUMNS)
        row.add_row(name, bar, f"{self._done:,} of {total:,}")
        return row

    def _figures(self) -> list[str]:
        names = [*_SAMPLES, *(name for name in self._samples if name not in _SAMPLES)]
        return [
            _SAMPLES.get(name, f"{name} {{:,.1f}}").format(value)
            for name in names
            if not math.isnan(value := self._samples.get(name, math.nan))
        ]
