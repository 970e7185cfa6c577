"""Fixtures: Debian with its own systemd in a container, neo installed in it by ``make install``."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.lab import exit_on_sigterm, sweep
from tests.lab.debian.campus import BootedCampus
from tests.lab.debian.container import cgroup2
from tests.lab.debian.trees import SUITES, Built, Debian, Unavailable, debian, demand

TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter", "dnsmasq", "ip")
SAID: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.box)
            item.add_marker(pytest.mark.timeout(900))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests wanted said."""
    if SAID:
        terminalreporter.section("what systemd says")
        for line in SAID:
            terminalreporter.line(line)


@pytest.fixture
def report() -> Callable[[str], None]:
    """Say a line at the end of the run, whether or not the test passes."""
    return SAID.append


@pytest.fixture(scope="session", params=SUITES)
def release(request: pytest.FixtureRequest) -> Debian:
    """A release of Debian, its tree made once and kept."""
    try:
        demand(*TOOLS)
        cgroup2()
        exit_on_sigterm()
        sweep()
        return debian(request.param)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def built(release: Debian) -> Built:
    """Neo, built inside this release."""
    return release.build()


@pytest.fixture
def bare(release: Debian) -> Iterator[BootedCampus]:
    """A host on a LAN that leases, without neo."""
    with closing(BootedCampus(release.root)) as made:
        made.host.start()
        made.host.wait_up()
        made.plug()
        made.serve()
        yield made


@pytest.fixture
def new_campus(release: Debian, built: Built) -> Iterator[Callable[[], BootedCampus]]:
    """Make hosts that are not booted yet and end with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(BootedCampus(built.installed, release.root)))


@pytest.fixture
def campus(new_campus: Callable[[], BootedCampus]) -> BootedCampus:
    """A host that is up, with its NIC on a LAN that leases; neod is installed but not enabled."""
    made = new_campus()
    made.host.start()
    made.host.wait_up()
    made.host.ok("systemd-sysusers")
    made.plug()
    made.serve()
    return made


@pytest.fixture
def running(campus: BootedCampus) -> BootedCampus:
    """The same with neod enabled, running and converged on four macvlans."""
    campus.configure()
    campus.host.ok("systemctl enable --now --quiet neod")
    campus.converged()
    campus.stored()
    return campus
