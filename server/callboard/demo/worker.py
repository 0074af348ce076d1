"""A worker of the demonstration: ``python -m callboard.demo.worker URL NAME``."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from callboard_scheduler import Context, Worker

SLOTS: Final = 2
_STEP_SECONDS: Final = 0.05


async def render(ctx: Context, scene: str, steps: int) -> str:
    """Pretend to render a scene, frame by frame, carrying on where an earlier attempt was."""
    done = ctx.last_checkpoint or 0
    for step in range(done, steps):
        await asyncio.sleep(_STEP_SECONDS)
        await ctx.checkpoint(step + 1)
        await ctx.progress(100 * (step + 1) / steps, f"frame {step + 1} of {steps}")
    return f"{scene}.mp4"


def main(url: str, name: str) -> None:
    """Run until asked to end."""
    worker = Worker(id=name, slots=SLOTS)
    worker.task("render")(render)
    worker.run(url, drain_seconds=1.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
