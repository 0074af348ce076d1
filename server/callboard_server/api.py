"""The signed HTTP API under ``/apps/{app_id}``: verify, validate, publish or look up, answer.

A request's way: the app of the path, its signature, whether the app is enabled, the route, the
parameters, the broker. Only the routes know what a call means; texts and limits are in
:mod:`callboard_protocol.rest`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from callboard_protocol import messages, rest, rest_signature
from callboard_protocol.rest import BadRequest, Trigger
from callboard_protocol.rest_signature import SignedRequest, Unauthorized
from callboard_server.apps import AppRegistry
from callboard_server.brokers import Broker, Directory, Message
from callboard_server.clock import Clock
from callboard_server.front.request import Request, Response, text
from callboard_server.settings import AppSettings

logger = logging.getLogger("callboard.server")

_OK: Final = Response(200)


@dataclass(slots=True)
class Call:
    """A request that has been verified: whose it is and what it says."""

    app: AppSettings
    #: The variable parts of the path.
    arguments: Sequence[str]
    query: Mapping[str, str]
    body: bytes


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(slots=True)
class _Route:
    """Where a path leads, whether or not the app exists."""

    app_id: str
    handler: Handler | None
    arguments: Sequence[str]
    #: The answer where there is no handler.
    refusal: Response = _OK


class Api:
    """Answers API requests; one coroutine per route, none of which suspends in one process."""

    def __init__(
        self, apps: AppRegistry, broker: Broker, directory: Directory, clock: Clock
    ) -> None:
        self._apps = apps
        self._broker = broker
        self._directory = directory
        self._clock = clock
        # Apps publish to the same few paths for ever.
        self._route = lru_cache(maxsize=256)(self._find_route)
        # Path segments behind /apps/{id}; None stands for any one segment.
        self._routes: Sequence[tuple[str, Sequence[str | None], Handler]] = (
            ("POST", ("events",), self._post_events),
            ("POST", ("batch_events",), self._post_batch_events),
            ("GET", ("channels",), self._get_channels),
            ("GET", ("channels", None), self._get_channel),
            ("GET", ("channels", None, "users"), self._get_users),
        )

    async def handle(self, request: Request) -> Response:
        """Answer a request whose path begins with ``/apps/``."""
        path, _, query = request.target.partition(b"?")
        route = self._route(request.method, path)
        app = self._apps.by_id(route.app_id)
        if app is None:
            return text(404, f"Unknown app_id: {route.app_id[:100]!r}")
        signed = SignedRequest(request.method, path, query, request.body)
        try:
            parameters = rest_signature.verify(signed, app.key, app.secret, self._clock.now())
            if not app.enabled:
                return text(403, "App is disabled")
            if route.handler is None:
                return route.refusal
            return await route.handler(Call(app, route.arguments, parameters, request.body))
        except Unauthorized as refusal:
            reason = str(refusal)
            logger.warning("refused an API request app=%s reason=%r", app.id, reason[:300])
            return text(401, reason)
        except BadRequest as refusal:
            return text(refusal.status, str(refusal))

    def _find_route(self, method: str, path: bytes) -> _Route:
        app_id, *segments = (_decode(segment) for segment in path.split(b"/")[2:])
        methods = []
        for route_method, pattern, handler in self._routes:
            if len(pattern) == len(segments):
                pairs = list(zip(pattern, segments, strict=True))
                if all(part is None or part == segment for part, segment in pairs):
                    if method == route_method:
                        arguments = [segment for part, segment in pairs if part is None]
                        return _Route(app_id, handler, arguments)
                    methods.append(route_method)
        if methods:
            allowed = ", ".join(sorted(methods))
            refusal = text(405, f"Method not allowed: use {allowed}", f"Allow: {allowed}")
        else:
            refusal = text(404, f"Not found: {path[:200].decode('latin-1')}")
        return _Route(app_id, None, (), refusal)

    # Publishing

    async def _post_events(self, call: Call) -> Response:
        trigger = rest.parse_events(call.body, call.app)
        await self._broker.publish(_messages(call.app, trigger))
        if not trigger.info:
            return _OK
        counts = await self._directory.counts(call.app.id, trigger.channels)
        return _json(
            {
                "channels": {
                    channel: rest.counts_of(count, trigger.info)
                    for channel, count in zip(trigger.channels, counts, strict=True)
                }
            }
        )

    async def _post_batch_events(self, call: Call) -> Response:
        triggers = rest.parse_batch_events(call.body, call.app)
        await self._broker.publish(
            [message for trigger in triggers for message in _messages(call.app, trigger)]
        )
        if not any(trigger.info for trigger in triggers):
            return _OK
        channels = [trigger.channels[0] for trigger in triggers]
        counts = await self._directory.counts(call.app.id, channels)
        return _json(
            {
                "batch": [
                    rest.counts_of(count, trigger.info)
                    for trigger, count in zip(triggers, counts, strict=True)
                ]
            }
        )

    # Looking up

    async def _get_channels(self, call: Call) -> Response:
        prefix, info = rest.parse_channels_query(call.query)
        channels = await self._directory.channels(call.app.id, prefix)
        return _json(
            {"channels": {name: rest.counts_of(counts, info) for name, counts in channels.items()}}
        )

    async def _get_channel(self, call: Call) -> Response:
        channel = call.arguments[0]
        info = rest.parse_channel_query(channel, call.query)
        counts = (await self._directory.counts(call.app.id, [channel]))[0]
        occupied = counts.subscription_count > 0
        wanted = rest.counts_of(counts, info) if occupied else {}
        return _json({"occupied": occupied, **wanted})

    async def _get_users(self, call: Call) -> Response:
        channel = call.arguments[0]
        rest.parse_users_query(channel, call.query)
        users = await self._directory.users(call.app.id, channel)
        return _json({"users": [{"id": user} for user in users]})


def _messages(app: AppSettings, trigger: Trigger) -> list[Message]:
    return [
        Message(
            app.id,
            channel,
            messages.channel_event(trigger.name, channel, trigger.data),
            trigger.socket_id,
        )
        for channel in trigger.channels
    ]


def _json(value: Mapping[str, Any]) -> Response:
    return Response(200, orjson.dumps(value))


def _decode(segment: bytes) -> str:
    return unquote_to_bytes(segment).decode("utf-8", "replace")
