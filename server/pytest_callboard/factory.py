"""Servers that are made in a session, and end with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from callboard.fixture import FixtureServer


class PusherServerFactory:
    """Starts servers, each on a port of its own."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> PusherServerFactory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def __call__(
        self,
        *,
        apps: Sequence[Mapping[str, Any]] | None = None,
        settings: Mapping[str, Any] | None = None,
        webhook_delays: bool = False,
        timeout: float = 5.0,
    ) -> FixtureServer:
        """Start a server, as :class:`~callboard.fixture.server.FixtureServer` describes it.

        It may be stopped before the session ends.

        Raises:
            ValueError: it cannot be set so.
        """
        return self._stack.enter_context(
            FixtureServer(
                apps=apps, settings=settings, webhook_delays=webhook_delays, timeout=timeout
            )
        )
