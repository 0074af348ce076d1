"""Who follows what becomes of each client that comes, such as a test that wants to know why.

An observer hears of an app's channels, for the app's backend. A witness hears of connections and
refusals, which are nobody's business but that of whoever looks after the server. It is asked for
once per connection and once per refusal, and costs a server without one nothing else.

Called on the loop where it happens, so a witness must not block and must not raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from callboard_server.client_info import ClientInfo


class Witness(Protocol):
    """Hears of connections and refusals."""

    def connected(self, socket_id: str, transport: str, query: str, client: ClientInfo) -> None:
        """A client has a connection now, as the hub knows it.

        ``transport`` is as pusher-js calls it, ``query`` what the client asked to connect with.
        """

    def refused(self, what: str, reason: str, facts: Mapping[str, object]) -> None:
        """``what`` (as in "a connection", or an event's name) was refused.

        ``facts`` are who and where; the reason is in full, with what a client should have signed.
        """
