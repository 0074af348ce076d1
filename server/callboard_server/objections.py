"""What may object to a client beside the server's own rules.

A server that nobody interferes with has none; each question is asked once for a connection, a
subscription that must be authorized, or a sign-in, never for a message or a delivery.
"""

from __future__ import annotations

from typing import Protocol

from callboard_protocol.messages import SigninRequest, SubscribeRequest
from callboard_protocol.refusals import Refusal
from callboard_server.client_info import ClientInfo
from callboard_server.settings import AppSettings


class Objections(Protocol):
    """Asked on the loop, after the server itself has found nothing wrong; must not block."""

    def to_connection(self, app: AppSettings, query: str, client: ClientInfo) -> Refusal | None:
        """Return why a client of the app may not connect, whatever transport it came by."""

    def to_subscription(
        self, app: AppSettings, socket_id: str, request: SubscribeRequest
    ) -> bytes | None:
        """Return the message that answers a subscription instead of carrying it out.

        Asked of channels that must be signed for; this one is, and well.
        """

    def to_signin(self, app: AppSettings, socket_id: str, request: SigninRequest) -> bytes | None:
        """Return the message that answers a sign-in instead of carrying it out."""
