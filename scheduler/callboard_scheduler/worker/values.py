"""Values of users' code to and from JSON text.

What msgspec can encode is fine; objects with ``model_dump_json`` (pydantic's, and whatever has
that method) are asked for their own text, at any depth.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from callboard_scheduler.records import Raw
from callboard_scheduler.worker.errors import BadResult

_NOTHING: Final = Raw(b"null")


def encode(value: object, what: str) -> Raw:
    """Return the JSON text of a value; ``what`` names it in the error.

    Raises:
        BadResult: it is no JSON value; the text says what part is not.
    """
    if value is None:
        return _NOTHING
    try:
        return Raw(_encoder.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadResult(
            f"{what} must be a JSON value (what msgspec encodes, or has model_dump_json()), "
            f"got {type(value).__name__}: {error}"
        ) from error


def decode(text: Raw | bytes) -> Any:
    """Return the value of JSON text."""
    return msgspec.json.decode(text)


def _encode_other(value: Any) -> Raw:
    dump = getattr(value, "model_dump_json", None)
    if not callable(dump):
        raise TypeError(f"{type(value).__name__} is not one")
    return Raw(dump().encode())


_encoder: Final = msgspec.json.Encoder(enc_hook=_encode_other)
