"""Why traffic cannot be recorded or played again.

::

    TrafficError
      CannotRecord     nothing can listen or be written where it was to be
      BadRecording     a file is no recording, or one of a later format
      CannotReplay     the recording is fine, but not for this service or not so

No text has a secret.
"""

from __future__ import annotations


class TrafficError(Exception):
    """The text says what is wrong and what to do."""


class CannotRecord(TrafficError):
    """Nothing can listen, or be written, where it was to be."""


class BadRecording(TrafficError):
    """A file is no recording that this Callboard can read."""


class CannotReplay(TrafficError):
    """The recording cannot be played into this service, or not in this way."""
