"""The schedules of an app: tasks and events at times to come."""

from __future__ import annotations

from typing import Any, Unpack

from callboard_scheduler.client.bodies import ScheduleOptions, schedule_body
from callboard_scheduler.client.calls import Calls

#: An object of the API's JSON.
Record = dict[str, Any]
# Inside the class, list is its own method.
Records = list[Record]
Times = list[int]


class AsyncSchedules:
    """``client.schedules``. Each answer is a schedule as the API has it: a mapping.

    Calls raise :class:`~callboard_scheduler.client.errors.TaskClientError`.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def put(self, schedule_id: str, **options: Unpack[ScheduleOptions]) -> Record:
        """Add a schedule, or replace the one of this id.

        When: ``cron`` (with ``timezone``), ``every_ms`` or ``at``. What: ``task``, a mapping of
        what ``submit`` takes with ``name`` and ``args``; or ``event``, a body of ``POST events``.
        """
        return await self._calls.put("schedules", schedule_id, body=schedule_body(options))

    async def get(self, schedule_id: str) -> Record:
        """Return a schedule. Raises NotFound."""
        return await self._calls.get("schedules", schedule_id)

    async def list(self) -> Records:
        """Return all schedules."""
        return list((await self._calls.get("schedules"))["schedules"])

    async def delete(self, schedule_id: str) -> None:
        """Remove a schedule; what it has submitted goes on. Raises NotFound."""
        await self._calls.delete("schedules", schedule_id)

    async def pause(self, schedule_id: str) -> Record:
        """Let it fire no more until :meth:`resume`. Raises NotFound."""
        return await self._calls.post("schedules", schedule_id, "pause")

    async def resume(self, schedule_id: str) -> Record:
        """Let it fire again. Raises NotFound."""
        return await self._calls.post("schedules", schedule_id, "resume")

    async def preview(self, schedule_id: str, count: int = 5) -> Times:
        """Return its next ``count`` times in Unix milliseconds, fewer if it ends."""
        answer = await self._calls.get("schedules", schedule_id, "preview", query={"n": str(count)})
        return list(answer["runs"])
