"""How long a client waits for what; the defaults are pusher-js's."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Spans in seconds, all above zero.

    Raises:
        ValueError: one is not.
    """

    #: Silence after which the service is pinged, unless the service names less.
    activity_seconds: float = 120.0
    #: Time the service has to say anything after a ping.
    pong_seconds: float = 30.0
    #: Time for a connection to be established, from TCP to the first frame.
    open_seconds: float = 10.0
    #: Time without a connection after which the state becomes ``UNAVAILABLE``.
    unavailable_seconds: float = 10.0
    #: Least time before another attempt, where the service does not ask for one at once.
    first_retry_seconds: float = 1.0
    #: Most time before another attempt.
    max_retry_seconds: float = 30.0
    #: Time the service has to answer a close before the connection is cut.
    close_seconds: float = 2.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{field.name} must be above 0, got {value}")
