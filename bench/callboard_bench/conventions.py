"""What every command of the bench has in common: its exit status, and what its help is like."""

from __future__ import annotations

from typing import Final

MEASURED: Final = 0
FAILED: Final = 1
INTERRUPTED: Final = 130

#: The end of ``--help``.
EPILOG: Final = (
    "Exit status: 0 measured; 1 a server lost, doubled, reordered or refused something, failed, or "
    "missed a limit; 2 wrong usage; 130 interrupted, after what was measured is printed."
)

CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
