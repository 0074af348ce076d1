"""What is in a recording, known before anything of it is played."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from callboard.traffic.errors import CannotReplay
from callboard.traffic.recording import Answer, Connect, Recording, Request

_UNAUTHORIZED: Final = 401


@dataclass(slots=True)
class Survey:
    """Counts, and what of the requests cannot be played."""

    records: int = 0
    #: Milliseconds from the first record to the last.
    ms: float = 0.0
    #: Connections and requests by the app's key.
    keys: Counter[str] = field(default_factory=Counter)
    #: Requests that were refused for how they were signed. They would be signed well this time.
    unauthorized: set[int] = field(default_factory=set)


def survey(recording: Recording) -> Survey:
    """Read the whole file.

    Raises:
        BadRecording: a line of it is broken, but for the last.
    """
    found = Survey()
    for record in recording:
        found.records += 1
        found.ms = max(found.ms, record.ms)
        if isinstance(record, Connect | Request) and record.key is not None:
            found.keys[record.key] += 1
        elif isinstance(record, Answer) and record.status == _UNAUTHORIZED:
            found.unauthorized.add(record.request)
    return found


def choose_app(found: Survey, key: str | None) -> str | None:
    """Return the key of the app to play, None if nothing in the recording has one.

    Raises:
        CannotReplay: there are several, and none was chosen, or the one chosen is not there.
    """
    listed = ", ".join(f"{name!r} ({count})" for name, count in found.keys.most_common())
    if key is not None and key not in found.keys:
        raise CannotReplay(f"The recording has nothing of the app {key!r}, only: {listed}.")
    if key is None and len(found.keys) > 1:
        raise CannotReplay(
            f"The recording has several apps, and a replay is for one: {listed}. "
            "Choose by its key, with --key."
        )
    return key or next(iter(found.keys), None)
