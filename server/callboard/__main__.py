"""``python -m callboard``: the command without an installed script."""

from __future__ import annotations

from callboard.cli import main

if __name__ == "__main__":
    main(prog_name="callboard")
