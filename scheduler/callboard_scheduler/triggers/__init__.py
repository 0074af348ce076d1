"""When a schedule fires: pure functions of a schedule and a clock's reading.

A *tick* is a nominal time at which a schedule fires: a match of ``cron`` in its time zone, a
point of the grid of ``every_ms``, or ``at``. Ticks are Unix milliseconds and the same for
whoever works them out, so ``(schedule, tick)`` names what may run at most once. Nothing here has a
clock, and nothing is read but the data of time zones.

- :mod:`~callboard_scheduler.triggers.zones` knows what a zone's clocks show, and where they jump.
- :mod:`~callboard_scheduler.triggers.cron` has the ticks of an expression, and the rule for jumps.
- :mod:`~callboard_scheduler.triggers.timing` says which ticks are due, and which were missed.
- :mod:`~callboard_scheduler.triggers.check` refuses what has no sense, and puts the rest in words.

docs/schedules.md says all of it to users.
"""
