"""The class of machine that figures depend on, and nothing that names it."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def machine() -> dict[str, object]:
    """Return processor, cores, kernel and Python."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
    }


def machine_line() -> str:
    """Return :func:`machine` in one line."""
    facts = machine()
    return (
        f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}"
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
