"""Arguments and results that are too large for an event: fetched and stored over HTTP.

The scheduler gives the addresses, signed, as paths on the service's HTTP address (or as whole
URLs, when it has an address of its own). A task waits meanwhile with its lease renewed.
"""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Final

from callboard_scheduler.worker.errors import BadResult, ValueUnavailable

if TYPE_CHECKING:
    import aiohttp

_TIMEOUT_SECONDS: Final = 30.0
#: Before each attempt but the first.
_PAUSES_SECONDS: Final = (0.2, 1.0)
_SHOWN_BYTES: Final = 200
_TOO_LARGE: Final = 413


class LargeValues:
    """One HTTP session, opened when it is first needed; belongs to one loop."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, ref: str) -> bytes:
        """Return what is at ``ref``.

        Raises:
            ValueUnavailable: not given after several attempts, or refused.
        """
        return await self._ask("GET", ref, None)

    async def store(self, put_url: str, value: bytes) -> None:
        """Put ``value`` there; storing it twice does no harm.

        Raises:
            BadResult: it is too large.
            ValueUnavailable: not taken after several attempts, or refused.
        """
        await self._ask("PUT", put_url, value)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, ref: str, body: bytes | None) -> bytes:
        import aiohttp
        from yarl import URL

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout)
        # Signed as it is: another encoder's taste would break the signature.
        url = URL(self._base + ref if ref.startswith("/") else ref, encoded=True)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        fault = ""
        for pause in (0.0, *_PAUSES_SECONDS):
            await asyncio.sleep(pause)
            try:
                # In pieces: as one, a large value would hold up the loop.
                data = None if body is None else io.BytesIO(body)
                async with self._session.request(
                    method, url, data=data, headers=headers, allow_redirects=False
                ) as response:
                    content = await response.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                fault = str(error) or type(error).__name__
                continue
            if 200 <= response.status < 300:
                return content
            shown = content[:_SHOWN_BYTES].decode("utf-8", "replace").strip()
            if response.status == _TOO_LARGE:
                raise BadResult(f"the result of {len(body or b'')} bytes is not taken: {shown}")
            fault = f"it answered {response.status}: {shown}"
            if response.status < 500:
                break
        raise ValueUnavailable(f"cannot {method} a large value at {url.path}: {fault}")
