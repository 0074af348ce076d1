"""Tasks and their attempts as people read them: rows of tables, and names with values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from callboard.commands import output

HEADS: Final = ("ID", "NAME", "QUEUE", "STATE", "PRIO", "WORKER", "PROGRESS", "AGE", "DUE")
ATTEMPT_HEADS: Final = ("ATTEMPT", "WORKER", "OUTCOME", "STARTED", "TOOK", "ERROR")


def row(record: Mapping[str, Any], now_ms: float) -> tuple[str, ...]:
    """Return a task as a row under HEADS; ``now_ms`` is Unix time in milliseconds."""
    run_at = record["run_at"] if record["state"] == "scheduled" else None
    return (
        record["id"],
        record["name"],
        record["queue"],
        record["state"],
        str(record["priority"]),
        record["worker"] or "",
        output.percent(record["progress"]),
        output.span(now_ms - record["created_at"]),
        f"in {output.span(run_at - now_ms)}" if run_at else "",
    )


def details(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return all there is of a task but its attempts, as names and values."""
    left = ("args", "progress", "result", "error", "attempts", "retry", "target", "checkpoint")
    times = ("created_at", "run_at", "start_by", "started_at", "finished_at", "fire_at")
    return [
        *(
            (name, output.moment(each) if name in times else output.value(each))
            for name, each in record.items()
            if name not in left and each not in (None, [])
        ),
        ("args", output.value(record["args"])),
        ("retry", output.value(record.get("retry"))),
        ("target", output.value(record.get("target"))),
        ("progress", output.percent(record["progress"])),
        ("checkpoint", output.value(record.get("checkpoint"))),
        ("result", output.value(record["result"])),
        ("error", _reason(record.get("error"))),
    ]


def attempt_row(attempt: Mapping[str, Any]) -> tuple[str, ...]:
    """Return an attempt as a row under ATTEMPT_HEADS."""
    started, ended = attempt.get("started_at"), attempt.get("ended_at")
    return (
        str(attempt["n"]),
        attempt["worker"],
        attempt["outcome"] or "",
        output.moment(started),
        output.span(ended - started) if started and ended else "",
        _reason(attempt.get("error")),
    )


def _reason(error: Mapping[str, str] | None) -> str:
    return ": ".join(part for part in (error["type"], error["msg"]) if part) if error else ""
