"""Fixtures of the lab, for any suite that imports them in its ``conftest.py``."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.lab.campus import Campus
from tests.lab.netns import exit_on_sigterm, sweep

TOOLS = ("ip", "nsenter", "dnsmasq", "kea-dhcp4")


@pytest.fixture(scope="session")
def laboratory() -> None:
    """Root, the programs it needs, and nothing left of crashed runs."""
    if os.geteuid():
        pytest.skip("needs root")
    if absent := [tool for tool in TOOLS if not shutil.which(tool)]:
        pytest.skip(f"not installed: {' '.join(absent)}")
    exit_on_sigterm()
    sweep()


@pytest.fixture
def new_campus(laboratory: None) -> Iterator[Callable[..., Campus]]:
    """Make campuses that end with the test."""
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(Campus(*args, **kwargs))


@pytest.fixture
def running(new_campus: Callable[..., Campus]) -> Callable[..., Campus]:
    """Make a campus with neod on it, converged."""

    def start(*args: Any, more: str = "", daemon: str = "", **kwargs: Any) -> Campus:
        campus = new_campus(*args, **kwargs)
        campus.host.write_config(campus.file(more=more, daemon=daemon))
        campus.host.start_neod()
        campus.wait_converged()
        campus.host.wait()
        return campus

    return start
