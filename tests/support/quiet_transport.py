"""A transport to nowhere: workers say what a test lets them say, and hear nothing."""

from __future__ import annotations

from collections.abc import Mapping

from callboard_scheduler import names, wire
from callboard_scheduler.records import DEFAULT_NAMESPACE
from callboard_scheduler.transports import OWN, Listener, Profile, Sent

_SOCKET_ID = "1.2"


class QuietTransport:
    """Implements :class:`~callboard_scheduler.transports.Transport`; keeps what was published."""

    hears_late = False

    def __init__(self, profile: Profile = OWN) -> None:
        self.profile = profile
        self.published: list[Mapping[str, object]] = []
        #: What was sent to workers' channels and to feeds: channel, event, data.
        self.sent: list[tuple[str, str, str]] = []
        self._listener: Listener | None = None

    async def start(self, listener: Listener) -> None:
        self._listener = listener

    async def stop(self) -> None:
        self._listener = None

    def send(self, channel: str, event: str, data: str) -> Sent:
        self.sent.append((channel, event, data))
        return Sent.OK

    def publish(self, event: Mapping[str, object]) -> Sent:
        self.published.append(event)
        return Sent.OK

    def watched(self, channel: str) -> bool | None:
        return True

    def disconnect(self, channel: str) -> None:
        pass

    # What a test does

    def say(self, worker: str, *messages: wire.UpMessage) -> None:
        """Let a worker send messages on its channel."""
        assert self._listener is not None
        channel = names.worker_channel(DEFAULT_NAMESPACE, worker)
        self._listener.received(channel, _SOCKET_ID, wire.encode_up("boot", 1, messages))

    def join(self, hello: wire.Hello) -> None:
        """Let a worker subscribe to its channel and say hello."""
        assert self._listener is not None
        self._listener.joined(names.worker_channel(DEFAULT_NAMESPACE, hello.w), _SOCKET_ID)
        self.say(hello.w, hello)
