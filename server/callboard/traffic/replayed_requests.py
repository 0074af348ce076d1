"""The backends of a replay: the same requests to the API, and what they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import aiohttp
from yarl import URL

from callboard.traffic import renewal
from callboard.traffic.outcome import ANSWERED, Difference, Outcome
from callboard.traffic.recording import Answer, Request
from callboard.traffic.replayed_connection import cannot_reach
from callboard_client.signed_request import Credentials


class ReplayedRequests:
    """Sends requests, as many at once as in the recording.

    ``socket_ids`` maps the recording's to those of now, ``unauthorized`` are numbers of requests
    that were refused for their signature, ``clock`` returns Unix time in seconds.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        credentials: Credentials,
        socket_ids: Mapping[str, str],
        unauthorized: set[int],
        outcome: Outcome,
        clock: Callable[[], float],
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._socket_ids = socket_ids
        self._unauthorized = unauthorized
        self._outcome = outcome
        self._clock = clock
        self._asked: dict[int, tuple[Request, asyncio.Task[int | None]]] = {}

    def ask(self, record: Request) -> None:
        """Send a request, and return at once."""
        if record.request in self._unauthorized:
            # It would be signed well this time.
            self._outcome.leave_out("API requests that were not signed well")
            return
        body = renewal.content(record, self._socket_ids)
        if body is None:
            self._outcome.leave_out("API requests whose body is not in the recording")
            return
        self._outcome.requests += 1
        task = asyncio.create_task(self._status(record, body))
        self._asked[record.request] = (record, task)

    async def answered(self, record: Answer) -> None:
        """Wait for the answer to a request, and compare its status.

        Raises:
            CannotReplay: the service cannot be reached.
        """
        asked, task = self._asked.pop(record.request, (None, None))
        if asked is None or task is None:
            return
        status = await task
        if status != record.status:
            what = f"{asked.method} {asked.path}: {record.status} before, now {status}"
            self._outcome.add([Difference(ANSWERED, what)])

    async def settle(self) -> None:
        """Wait for the answers that are not in the recording."""
        await asyncio.gather(*(task for _, task in self._asked.values()))

    async def close(self) -> None:
        """Give up what is not answered."""
        tasks = [task for _, task in self._asked.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _status(self, record: Request, body: bytes) -> int | None:
        """Send a request and return its status, None if there was no answer."""
        asked = renewal.path_and_query(
            record, body, self._socket_ids, self._credentials, self._clock()
        )
        url = URL(f"{self._credentials.base}{asked}", encoded=True)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            async with self._session.request(
                record.method, url, data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                await answer.read()
                return answer.status
        except aiohttp.ClientConnectorError as error:
            raise cannot_reach(self._credentials.base, error) from None
        except (aiohttp.ClientError, TimeoutError):
            return None
