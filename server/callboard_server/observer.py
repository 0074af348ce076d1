"""What happens on this process that somebody outside may be told of.

Called on the loop where it happens, so an observer must not block and must not raise; it can
never delay a message.
"""

from __future__ import annotations

from typing import Protocol

from callboard_server.brokers import Transition
from callboard_server.settings import AppSettings


class Observer(Protocol):
    """Hears of transitions and events; webhooks are one."""

    def wants_transitions(self, app: AppSettings) -> bool:
        """Whether transitions of the app are to be made provisional and told."""

    def transition(self, app: AppSettings, transition: Transition) -> None:
        """A channel or a member came or went; a provisional one still has to be settled."""

    def client_event(
        self,
        app: AppSettings,
        channel: str,
        event: str,
        data: str,
        socket_id: str,
        user_id: str | None,
    ) -> None:
        """A client event was published; ``user_id`` on presence channels."""

    def cache_miss(self, app: AppSettings, channel: str) -> None:
        """A subscriber of a cache channel found no event."""

    def subscription_count(self, app: AppSettings, channel: str, count: int) -> None:
        """Subscribers were told their number."""


class NoObserver:
    """Nobody wants to know."""

    def wants_transitions(self, app: AppSettings) -> bool:
        return False

    def transition(self, app: AppSettings, transition: Transition) -> None:
        pass

    def client_event(
        self,
        app: AppSettings,
        channel: str,
        event: str,
        data: str,
        socket_id: str,
        user_id: str | None,
    ) -> None:
        pass

    def cache_miss(self, app: AppSettings, channel: str) -> None:
        pass

    def subscription_count(self, app: AppSettings, channel: str, count: int) -> None:
        pass
