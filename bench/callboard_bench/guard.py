"""The end of what the tool has started, if the tool itself is killed.

Nothing can be done at SIGKILL, but somebody else notices: a shell waits at the end of a pipe that
this process alone holds open. Generators need none, for they read from such a pipe anyway.
"""

from __future__ import annotations

import subprocess
from typing import Final

#: It ends with the group, if it can; ``$1`` is the group's number.
_SCRIPT: Final = 'read _; kill -TERM "-$1" && sleep 2 && kill -KILL "-$1"'


class Guard:
    """Ends a process group as soon as this process is gone."""

    def __init__(self, group: int) -> None:
        """Begin to wait."""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "guard", str(group)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Whatever ends the tool's own group does not end it.
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Wait no more: the group has ended, and its number may be another's from now on."""
        assert self._process.stdin is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
