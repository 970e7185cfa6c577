"""What all tests share."""

import os
import time

import pytest
from hypothesis import settings

settings.register_profile("neo", deadline=None)  # machines are shared: a slow example is no failure
settings.load_profile("neo")

BEGUN = time.monotonic()
MINUTES = os.environ.get("NEO_TEST_MINUTES")
"""After so many minutes nothing is booted any more: a run that is ended from outside tells nothing at all."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what boots a Debian, and say so, when a slow machine has used up the time for it."""
    boots = item.get_closest_marker("box") or item.get_closest_marker("vm")
    if boots and MINUTES and time.monotonic() - BEGUN > 60 * float(MINUTES):
        pytest.skip(f"the {MINUTES} minutes that this run may take to boot machines are over (NEO_TEST_MINUTES)")
