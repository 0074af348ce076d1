"""What can be added to the server without its knowing what that is, such as a task scheduler.

An extension adds calls to the API, may take a trigger before it is published, answers pages of
its own, and reaches clients through the broker like everything else. Rules:

1. It starts before the first client is taken and stops when the last one has been sent away,
   while the broker still works.
2. Every call is made on the loop and must not block; where it suspends, one request waits.
3. Only its start can keep the server from starting. What it raises otherwise is logged, answered
   with 500 if somebody waits for an answer, and goes no further.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from callboard_server.apps import AppRegistry
from callboard_server.clock import Clock
from callboard_server.front.exchange import Attend
from callboard_server.front.request import Request, Response
from callboard_server.hub import State
from callboard_server.reservations import Reservations
from callboard_server.settings import AppSettings

if TYPE_CHECKING:
    from callboard_server.api import Call


@dataclass(frozen=True, slots=True)
class Facilities:
    """What an extension may use of the server, from its start until its stop has returned."""

    broker: State
    #: The apps as they are at any moment.
    apps: AppRegistry
    reservations: Reservations
    #: For what people and other machines are told; spans are the loop's.
    clock: Clock


@dataclass(frozen=True, slots=True)
class Page:
    """A path that is answered to anyone: not signed, and to pages of any origin (CORS).

    ``path`` stands behind the server's path prefix; one that ends in ``/`` is all below it.
    ``max_body_bytes`` may be more or less than an API request may have. Preflights and other
    methods than these are answered without asking. One that is not ``open`` is asked for every
    method, preflights too, and says itself who may read what it answers; so does whoever attends
    to an exchange. What it refuses is not logged as a refusal of the server. Where errors are to be
    JSON (``json_errors``), the front says what it refuses itself as ``{"error": …}``.
    """

    path: str
    methods: tuple[str, ...]
    max_body_bytes: int
    answer: Callable[[Request], Coroutine[Any, Any, Response | Attend]]
    open: bool = True
    json_errors: bool = False


class Extension(Protocol):
    """Something added to one server."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    @property
    def pages(self) -> Sequence[Page]:
        """The pages it answers, known before it starts; does not change."""

    async def start(self, facilities: Facilities) -> None:
        """Begin, for the apps that there are.

        Whatever it raises ends the start of the server. It may be started again after a stop.
        """

    async def stop(self) -> None:
        """End, in a few seconds; what takes longer is cancelled. Safe to call twice or unstarted.

        Every client has been sent away by then, and every request has been answered.
        """

    def farewell(self) -> None:
        """From now on clients leave because the server ends, and no new ones come."""

    async def reload(self, apps: Sequence[AppSettings]) -> None:
        """Go on with these apps; called before clients of those that are gone are sent away."""

    async def answer(self, call: Call) -> Response | None:
        """Answer a verified API call that the server does not know; None if unknown here too.

        ``call.arguments`` are all parts of the path behind the app's id.
        """

    def look(self, app: AppSettings, body: bytes) -> Coroutine[Any, Any, Response] | None:
        """Look at the body of an ``events`` or ``batch_events`` call, which may be anything.

        Returns what answers it instead of publishing it, None to let it be published. Called
        for each of them, so None must cost next to nothing.
        """
