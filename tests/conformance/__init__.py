"""The promises of each seam as checks that any implementation can be handed."""

import pytest

# Before the checks are imported, so that a failing one shows its values.
pytest.register_assert_rewrite(
    "conformance.broker_events",
    "conformance.broker_life",
    "conformance.broker_presence",
    "conformance.node",
    "conformance.store_life",
    "conformance.store_reading",
    "conformance.store_writing",
)
