"""Hypothesis on machines that are busy with other things: no deadline for one example."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("shared machine", deadline=None, print_blob=True)
settings.load_profile("shared machine")
