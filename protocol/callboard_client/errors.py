"""What can go wrong for a caller of the client.

::

    ClientError
    +-- NotConnected          a send needs a connection, and there is none at the moment
    +-- ClientClosed          the client was closed by its own side
    +-- ConnectionFailed      the service refused in a way that asks not to be retried
    +-- SubscriptionError     one channel could not be subscribed
    +-- ChannelClosed         the channel was unsubscribed, nothing more will come
    +-- EventsLost            the reader was too slow for a channel's bounded queue
    +-- ApiError              the HTTP API refused a call, or could not be reached

Facts are attributes; the sentence is built in ``__str__``. A connection that is lost is no error:
the client reconnects by itself.
"""

from __future__ import annotations


class ClientError(Exception):
    """Root of everything this package raises on purpose."""


class NotConnected(ClientError):
    """A send needs a connection and there is none at the moment; the client is at it."""


class ClientClosed(ClientError):
    """The client was closed, by ``close()`` or at the end of its ``async with``."""

    def __str__(self) -> str:
        return "the client is closed: make a new Client to connect again"


class ConnectionFailed(ClientError):
    """The service closed with a code that asks not to be retried (4000-4099, 4300 and above)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the service refused the connection for good, code {self.code}: {self.reason}"


class SubscriptionError(ClientError):
    """A channel could not be subscribed.

    ``message`` is the service's text, the auth endpoint's or our own; ``status`` is the auth
    endpoint's HTTP status or the service's code where there is one.
    """

    def __init__(self, channel: str, message: str, status: int | None = None) -> None:
        super().__init__(channel, message, status)
        self.channel = channel
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return f"cannot subscribe to {self.channel}: {self.message}"


class ChannelClosed(ClientError):
    """The channel was unsubscribed; nothing more will come."""

    def __init__(self, channel: str) -> None:
        super().__init__(channel)
        self.channel = channel

    def __str__(self) -> str:
        return f"channel {self.channel} is no longer subscribed"


class EventsLost(ClientError):
    """The reader was too slow: the channel's queue was full and dropped its oldest events.

    Raised once, where the gap is; the next read goes on behind it.
    """

    def __init__(self, channel: str, count: int) -> None:
        super().__init__(channel, count)
        self.channel = channel
        self.count = count

    def __str__(self) -> str:
        return (
            f"channel {self.channel} dropped its {self.count} oldest unread events: "
            "read faster, or raise max_queued_events"
        )


class ApiError(ClientError):
    """The HTTP API answered other than 2xx with a JSON object.

    ``status`` is None when no answer came at all; ``text`` is the service's body.
    ``retry_after_seconds`` is what its ``Retry-After`` says, if it does.
    """

    def __init__(
        self, status: int | None, text: str, retry_after_seconds: int | None = None
    ) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        if self.status is None:
            return self.text
        return f"the HTTP API answered {self.status}: {self.text}"
