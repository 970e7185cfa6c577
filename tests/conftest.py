"""What all tests share."""

import os
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("neo", deadline=None)  # machines are shared: a slow example is no failure
settings.load_profile("neo")

for name in [name for name in os.environ if name.startswith("NEO_")]:
    del os.environ[name]  # such a variable is a setting of neod, and every program under test would obey it

os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"  # a zone with an offset and a summer time: who forgets one is told
time.tzset()

BEGUN = time.monotonic()
MINUTES = os.environ.get("TEST_MINUTES")
"""After so many minutes nothing is booted any more: a run that is ended from outside tells nothing at all."""


UNIT = Path(__file__).parent / "unit"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is quick first: unit tests, then those of them that are slow, then all that needs more."""
    items.sort(key=lambda item: (UNIT not in item.path.parents, UNIT in item.path.parents and _slow(item)))


def _slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what boots a Debian, and say so, when a slow machine has used up the time for it."""
    boots = item.get_closest_marker("box") or item.get_closest_marker("vm")
    if boots and MINUTES and time.monotonic() - BEGUN > 60 * float(MINUTES):
        pytest.skip(f"the {MINUTES} minutes that this run may take to boot machines are over (TEST_MINUTES)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not run, folder by folder, and why: pytest itself names the line that skips, which many share."""
    reports = terminalreporter.stats.get("skipped", [])
    found = Counter((_folder(report.nodeid), _reason(report)) for report in reports)
    if found:
        terminalreporter.section("not run on this machine")
    for (folder, reason), number in sorted(found.items()):
        terminalreporter.line(f"{number:>4} of {folder}: {reason}")


def _folder(nodeid: str) -> str:
    return nodeid.partition("::")[0].rpartition("/")[0]


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")
