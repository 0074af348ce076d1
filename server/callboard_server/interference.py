"""Where a test may put itself between the parts of one server.

:class:`Interference` is given the parts while the server is put together, and returns what
stands in their places, so what is not interfered with runs the same code as without. Nothing
here knows what for: faults are the test fixture's.
"""

from __future__ import annotations

from typing import Protocol

from callboard_server.brokers import Listener
from callboard_server.clock import Clock
from callboard_server.front.context import FrontInterference, Handle
from callboard_server.hub import Hub
from callboard_server.objections import Objections
from callboard_server.webhooks.posting import Poster
from callboard_server.witness import Witness


class Interference(FrontInterference, Objections, Protocol):
    """Everything is called on the server's loop; a server that starts again calls all again."""

    def hearing(self, hub: Hub) -> Listener:
        """Return what hears of the broker's events in place of the hub."""

    def witnessing(self, witness: Witness | None) -> Witness:
        """Return what is told of connections and refusals, and tells ``witness``."""

    def answering(self, handle: Handle) -> Handle:
        """Return what answers requests of the HTTP API in place of ``handle``."""

    def timing(self, clock: Clock) -> Clock:
        """Return the clock by which the HTTP API judges timestamps."""

    def posting(self, poster: Poster) -> Poster:
        """Return what posts webhooks; it closes ``poster`` when it is closed."""

    def stop(self) -> None:
        """The server ends: let go of whatever is held, so that nothing has to be waited for."""
