"""The server's extension that schedules tasks: a scheduler for each app, and one store for all.

An app's scheduler lives while the app is there, enabled, and has the same key and secret. One
that goes away keeps what it has in the store, and goes on with it when it is back.

Two paths are open to whoever has no secret: ``/sched/auth`` gives the signature of a subscription
for a token, as an application's auth endpoint does for a user, and ``/sched/blobs/…`` are the
signed paths by which a worker gets arguments and puts results that are too large for an event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
import orjson

from callboard.embedded_transport import EmbeddedTransport
from callboard.errors import StartError
from callboard_protocol import refusals
from callboard_protocol.reserved import worker_of
from callboard_scheduler import answers, blobs, tokens
from callboard_scheduler.api import Routes
from callboard_scheduler.blobs import BlobKind
from callboard_scheduler.clock import Clock, SystemClock
from callboard_scheduler.engine import KEEP_MS, MAX_BACKLOG, Scheduler
from callboard_scheduler.errors import (
    BadBlob,
    BadField,
    BadToken,
    TokenFault,
    TooManyResults,
)
from callboard_scheduler.stores import Store, StoreError
from callboard_scheduler.tokens import WorkerGrant
from callboard_scheduler.transports import OWN, Profile, Transport
from callboard_server.api import Call
from callboard_server.extensions import Facilities, Page
from callboard_server.front.request import Request, Response, text
from callboard_server.settings import AppSettings

logger = logging.getLogger("callboard.scheduler")

AUTH_PATH: Final = "/sched/auth"
#: A form with a token, which a header would have to hold as well.
_MAX_AUTH_BYTES: Final = 16 * 1024
_MAX_FORM_FIELDS: Final = 16
#: How the calls and the times begin that only a scheduler understands.
_CALLS: Final = frozenset(("tasks", "batch_tasks", "schedules", "workers", "queues"))
_TIMES: Final = (b'"deliver_at"', b'"delay_ms"')
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(slots=True)
class _Running:
    """One app's scheduler."""

    app: AppSettings
    scheduler: Scheduler
    routes: Routes


class Scheduling:
    """Implements :class:`~callboard_server.extensions.Extension`."""

    name = "scheduler"
    #: Whether workers' channels are signed for as any others: on a service that knows none.
    foreign = False
    #: Where workers fetch and put large values, if not at the address that they connect to.
    address = ""
    #: What tasks go by, if somebody moves it; signatures go by the machine's all the same.
    clock: Clock | None = None

    def __init__(
        self,
        make_store: Callable[[], Store],
        *,
        max_waiting_tasks: int = MAX_BACKLOG,
        finished_tasks_seconds: float = KEEP_MS / 1000,
        profile: Profile = OWN,
    ) -> None:
        """``make_store`` is called at each start; the others are the settings of their names.

        ``profile`` says how soon a loss is told, among other things.
        """
        self._make_store = make_store
        self._max_backlog = max_waiting_tasks
        self._profile = profile
        self._keep_ms = int(finished_tasks_seconds * 1000)
        self._store: Store | None = None
        self._running: dict[str, _Running] = {}
        self.pages = (
            Page(AUTH_PATH, ("POST",), _MAX_AUTH_BYTES, self._authorize),
            Page(blobs.PREFIX, ("GET", "PUT"), blobs.MAX_BLOB_BYTES, self._transfer),
        )

    @property
    def schedulers(self) -> dict[str, Scheduler]:
        """Those that run, by the ids of their apps."""
        return {app_id: running.scheduler for app_id, running in self._running.items()}

    # Life

    async def start(self, facilities: Facilities) -> None:
        """Open the store and start a scheduler for each app.

        Raises:
            StartError: the store cannot be used.
        """
        self._facilities = facilities
        self._store = self._make_store()
        try:
            await self._store.start()
            for app in facilities.apps:
                if app.enabled:
                    await self._begin(app, self._store)
        except StoreError as error:
            raise StartError(str(error)) from None

    async def stop(self) -> None:
        for app_id in list(self._running):
            await self._end(app_id)
        store, self._store = self._store, None
        if store is not None:
            await store.stop()

    def farewell(self) -> None:
        for running in self._running.values():
            if isinstance(running.scheduler.transport, EmbeddedTransport):
                running.scheduler.transport.farewell()

    async def reload(self, apps: Sequence[AppSettings]) -> None:
        wanted = {app.id: app for app in apps if app.enabled}
        for app_id, running in list(self._running.items()):
            app = wanted.get(app_id)
            if app is None or (app.key, app.secret) != (running.app.key, running.app.secret):
                await self._end(app_id)
            else:
                running.app = app
                running.routes = Routes(running.scheduler, app)
        for app in wanted.values():
            if app.id not in self._running and self._store is not None:
                try:
                    await self._begin(app, self._store)
                except Exception:
                    logger.exception("no scheduler for app=%s", app.id)

    async def _begin(self, app: AppSettings, store: Store) -> None:
        transport = self._make_transport(app, self._facilities)
        scheduler = Scheduler(
            app.id,
            store,
            transport,
            secret=app.secret,
            clock=self.clock,
            signing_clock=SystemClock(),
            self_timed=self.clock is None,
            max_backlog=self._max_backlog,
            keep_ms=self._keep_ms,
            address=self.address,
        )
        await scheduler.start()
        self._running[app.id] = _Running(app, scheduler, Routes(scheduler, app))

    def _make_transport(self, app: AppSettings, facilities: Facilities) -> Transport:
        # Before anybody is heard, and also if it fails: what was reserved once stays so.
        facilities.reservations.add(app.id)
        return EmbeddedTransport(app.id, facilities.apps, facilities.broker, profile=self._profile)

    async def _end(self, app_id: str) -> None:
        running = self._running.pop(app_id)
        try:
            await running.scheduler.stop()
        except Exception:
            logger.exception("the scheduler of an app failed to stop app=%s", app_id)

    # The API

    async def answer(self, call: Call) -> Response | None:
        running = self._running.get(call.app.id)
        if running is None:
            return await _not_running() if call.arguments[0] in _CALLS else None
        found = await running.routes.handle(call.method, call.arguments, call.query, call.body)
        return None if found is None else _response(found)

    def look(self, app: AppSettings, body: bytes) -> Coroutine[Any, Any, Response] | None:
        running = self._running.get(app.id)
        if running is None:
            # What is meant for later must not go out now.
            return _not_running() if any(name in body for name in _TIMES) else None
        found = running.routes.scheduled(body)
        return None if found is None else _awaited(found)

    # Pages

    async def _authorize(self, request: Request) -> Response:
        """Answer as an auth endpoint does, to a token in the form or in ``Authorization``."""
        try:
            form = _form(request.body)
            token = _bearer(request) or _field(form, "token")
            running = self._find(tokens.key_of(token), request)
            app, now = running.app, self._facilities.clock.now()
            grant = tokens.verify(token, app.secret, now)
            channel = _field(form, "channel_name")
            socket_id = _field(form, "socket_id")
            signed = tokens.authorize(grant, app.secret, app.key, socket_id, channel, self.foreign)
        except (BadField, BadToken) as error:
            return _response(answers.refusal(error))
        worker = worker_of(channel)
        if isinstance(grant, WorkerGrant) and worker is not None:
            running.scheduler.granted(worker[1], socket_id, grant)
        return Response(200, orjson.dumps(signed))

    def _find(self, key: str, request: Request) -> _Running:
        app = self._facilities.apps.by_key(key)
        running = None if app is None else self._running.get(app.id)
        if running is None:
            raise BadToken(
                TokenFault.NOT_FOR_THIS, "no app with a scheduler here has the key that it names"
            )
        if running.app.tls_only and not request.client.secure:
            raise BadToken(TokenFault.NOT_FOR_THIS, f"{refusals.TLS_ONLY.message}: use https")
        return running

    async def _transfer(self, request: Request) -> Response:
        """Give a worker the arguments of its assignment, or keep its result."""
        path = request.target.decode("latin-1")
        try:
            running = self._running.get(blobs.app_of(path))
            if running is None:
                raise BadBlob("no app with a scheduler here has the id that it names")
            blob = blobs.verify_blob(path, running.app.secret, self._facilities.clock.now())
        except BadBlob as error:
            return _response(answers.refusal(error))
        method = "GET" if blob.kind is BlobKind.ARGS else "PUT"
        if request.method != method:
            return text(405, f"Method not allowed: use {method}", f"Allow: {method}, OPTIONS")
        if blob.kind is BlobKind.ARGS:
            value = running.scheduler.current_args(blob.task_id, blob.fence)
            return _given_away() if value is None else Response(200, bytes(value))
        if not _is_json(request.body):
            return text(400, "Expected the result as JSON text")
        try:
            kept = running.scheduler.put_result(blob.task_id, blob.fence, msgspec.Raw(request.body))
        except TooManyResults as error:
            return _response(answers.refusal(error))
        return Response(200) if kept else _given_away()


async def _not_running() -> Response:
    """Refuse while an app's scheduler is being started again, or could not be started."""
    return text(
        503,
        "The scheduler of this app is not running: try again in a moment; if it stays so, "
        "the server's log says why",
        "Retry-After: 1",
    )


async def _awaited(answer: Coroutine[Any, Any, answers.Answer]) -> Response:
    return _response(await answer)


def _response(answer: answers.Answer) -> Response:
    status, body, headers = answer
    lines = tuple(f"{name}: {value}" for name, value in headers.items())
    return Response(status, body, _JSON if status == 200 else _TEXT, lines)


def _given_away() -> Response:
    return text(410, "The assignment is over: its task has ended, or somebody else has it")


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _form(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode(), max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        raise BadField(
            "body", "expected a form (application/x-www-form-urlencoded) of a few fields"
        ) from None


def _field(form: dict[str, list[str]], name: str) -> str:
    if name not in form:
        raise BadField(
            name, f"missing, expected a form with socket_id, channel_name and token, got {[*form]}"
        )
    return form[name][0]


def _bearer(request: Request) -> str | None:
    header = (request.header(b"authorization") or b"").decode("latin-1")
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
