"""The channels of one client: ask for them, route what arrives, ask again after a reconnect."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any, Final

import orjson

from callboard_client.authorizers import Authorization, Authorizer, read_authorization
from callboard_client.channel import Channel
from callboard_client.errors import ChannelClosed, ClientError, NotConnected, SubscriptionError
from callboard_client.events import Event, ServerError, json_object, subscribe, unsubscribe
from callboard_client.session import Session
from callboard_client.subscriptions import Change, Phase, Subscriptions
from callboard_protocol.channels import kind_of

#: Questions to the authorizer at a time: a client with many channels must not flood an endpoint.
MAX_CONCURRENT_AUTHORIZATIONS: Final = 8

#: Frames that refuse a subscription and name it. Hosted Pusher sends none of them.
_REFUSALS: Final = ("pusher:subscription_error", "pusher_internal:subscription_error")


class Registry:
    """What a client subscribes to, over all its connections."""

    def __init__(self, authorizer: Authorizer | None, max_queued_events: int) -> None:
        self._authorizer = authorizer or _no_authorizer
        self._max_queued_events = max_queued_events
        self._channels: dict[str, Channel] = {}
        self._subscriptions = Subscriptions()
        self._session: Session | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._authorizations = asyncio.Semaphore(MAX_CONCURRENT_AUTHORIZATIONS)
        self._end: ClientError | None = None

    # What the application wants

    def channel(self, name: str, max_queued_events: int | None = None) -> Channel:
        """Return the channel's object, made on first use; it is not subscribed by that."""
        channel = self._channels.get(name)
        if channel is None:
            if not name:
                raise ValueError("a channel needs a name")
            limit = self._max_queued_events if max_queued_events is None else max_queued_events
            channel = self._channels[name] = Channel(name, limit, self._send)
            if self._end is not None:
                channel.finish(self._end)
        return channel

    async def subscribe(self, name: str) -> Channel:
        """Return the channel once the service has confirmed it, at once if it has already.

        Raises:
            SubscriptionError: it was refused, or could not be signed.
            ClientError: the client is at its end.
        """
        channel = self.channel(name)
        if self._end is None:
            self._want(name)
        try:
            await channel.wait_subscribed()
        except asyncio.CancelledError:
            if not channel.awaited and not channel.subscribed:
                self.unsubscribe(name)
            raise
        return channel

    def unsubscribe(self, name: str) -> None:
        """Give the channel up; its readers end behind what is unread. Unknown names are ignored."""
        channel = self._channels.pop(name, None)
        if channel is None:
            return
        channel.finish(ChannelClosed(name))
        if self._subscriptions.change(name, Change.UNWANT):
            self._leave(name)

    # What the connection brings

    def connected(self, session: Session) -> None:
        """A connection stands: ask for every wanted channel, with signatures for its socket id."""
        self._session = session
        for name in self._subscriptions.wanted():
            self._spawn(self._request(session, name))

    def lost(self) -> None:
        """The connection is gone; the channels stay wanted."""
        self._disconnect()
        self._subscriptions.lost()
        for channel in self._channels.values():
            channel.lost()

    def finish(self, reason: ClientError) -> None:
        """The client is at its end, and so is every channel."""
        self._end = reason
        self._disconnect()
        for channel in self._channels.values():
            channel.finish(reason)

    def _disconnect(self) -> None:
        self._session = None
        for request in self._requests:
            request.cancel()

    def received(self, event: Event) -> None:
        """Take a frame that names a channel."""
        name = event.channel
        if event.event == "pusher_internal:subscription_succeeded":
            if self._subscriptions.change(name, Change.SUCCEEDED):
                self._leave(name)
                return
        elif event.event in _REFUSALS:
            self._refuse(name, _refusal(event))
            return
        channel = self._channels.get(name)
        if channel is not None:
            channel.received(event)

    def refused(self, error: ServerError) -> bool:
        """Take a ``pusher:error``; False when it is not about a subscription."""
        name = self._subscriptions.blamed(error)
        if name is None:
            return False
        self._refuse(name, SubscriptionError(name, error.message, error.code))
        return True

    # Sending

    async def _send(self, frame: bytes) -> None:
        if self._session is None:
            raise NotConnected("there is no connection at the moment: nothing was sent")
        await self._session.send(frame)

    def _want(self, name: str) -> None:
        asked = self._subscriptions.phase(name) is not Phase.ABSENT
        self._subscriptions.change(name, Change.WANT)
        if not asked and self._session is not None:
            self._spawn(self._request(self._session, name))

    async def _request(self, session: Session, name: str) -> None:
        """Sign and send one subscription; what goes wrong in signing is the channel's error."""
        try:
            frame = await self._signed(session.socket_id, name)
        except SubscriptionError as error:
            self._refuse(name, error)
            return
        except Exception as error:
            failure = SubscriptionError(name, f"signing it raised {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._refuse(name, failure)
            return
        # Given up or confirmed in the meantime?
        if self._subscriptions.phase(name) is Phase.WANTED:
            self._subscriptions.change(name, Change.SENT)
            await _send_if_connected(session, frame)

    async def _signed(self, socket_id: str, name: str) -> bytes:
        if not kind_of(name).private:
            return subscribe(name, "", None)
        async with self._authorizations:
            answer = self._authorizer(socket_id, name)
            if inspect.isawaitable(answer):
                answer = await answer
        return subscribe(name, *read_authorization(name, answer))

    def _leave(self, name: str) -> None:
        if self._session is not None:
            self._spawn(_send_if_connected(self._session, unsubscribe(name)))

    def _refuse(self, name: str, error: SubscriptionError) -> None:
        """A subscription failed: tell callbacks as pusher-js does, then waiters and readers."""
        if self._subscriptions.phase(name) is Phase.SUBSCRIBED:
            return
        self._subscriptions.change(name, Change.REFUSED)
        channel = self._channels.pop(name, None)
        if channel is not None:
            channel.received(subscription_error(error))
            channel.finish(error)

    def _spawn(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(sending)
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)


async def _send_if_connected(session: Session, frame: bytes) -> None:
    try:
        await session.send(frame)
    except NotConnected:
        # The next connection asks anew, and knows of nothing to leave.
        pass


def _no_authorizer(socket_id: str, channel: str) -> Authorization:
    message = "its kind of channel needs a signature: pass Client(authorizer=…)"
    raise SubscriptionError(channel, message)


def subscription_error(error: SubscriptionError) -> Event:
    """Return the event that pusher-js makes of a failed subscription."""
    data: dict[str, object] = {"type": "AuthError", "error": error.message}
    if error.status is not None:
        data["status"] = error.status
    return Event("pusher:subscription_error", error.channel, orjson.dumps(data).decode())


def _refusal(event: Event) -> SubscriptionError:
    data = json_object(event.data)
    message, status = data.get("error"), data.get("status")
    return SubscriptionError(
        event.channel,
        message if isinstance(message, str) else event.data,
        status if isinstance(status, int) else None,
    )
