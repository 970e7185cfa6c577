"""Fixtures: Debian with its own systemd in a container, neo installed in it by ``make install``."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from campus import BootedCampus  # noqa: E402
from tests.lab import exit_on_sigterm, sweep  # noqa: E402

TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter", "dnsmasq", "ip", "gcc")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here."""
    for item in items:
        if "box" in Path(item.path).parts:
            item.add_marker(pytest.mark.box)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def debian() -> Path:
    """The Debian tree, made once and kept under ``build/box``."""
    if os.geteuid():
        pytest.skip("needs root")
    if absent := [tool for tool in TOOLS if not shutil.which(tool)]:
        pytest.skip(f"not installed: {' '.join(absent)}")
    exit_on_sigterm()
    sweep()
    suite = os.environ.get("BOX_SUITE", "bookworm")
    argv = [str(TOP / "tests/box/tree.sh"), str(TOP / "build/box"), suite]
    return Path(subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


@pytest.fixture(scope="session")
def installed(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make install`` puts into a tree."""
    destdir = tmp_path_factory.mktemp("installed")
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "MAKEFLAGS")}
    argv = ["make", "--no-print-directory", "install", f"DESTDIR={destdir}"]
    subprocess.run(argv, cwd=TOP, env=env, check=True, capture_output=True, text=True)
    destdir.chmod(0o755)  # it becomes the root folder
    return destdir


@pytest.fixture(scope="session")
def package(debian: Path) -> Path:
    """The Debian package."""
    if not shutil.which("dh"):
        pytest.skip("not installed: debhelper")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    argv = [str(TOP / "tools/deb.sh")]
    return Path(subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


@pytest.fixture
def bare(debian: Path) -> Iterator[BootedCampus]:
    """A host on a LAN that leases, without neo."""
    with closing(BootedCampus(debian)) as made:
        made.host.start()
        made.host.wait_up()
        made.plug()
        made.serve()
        yield made


@pytest.fixture
def new_campus(debian: Path, installed: Path) -> Iterator[Callable[[], BootedCampus]]:
    """Make hosts that are not booted yet and end with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(BootedCampus(installed, debian)))


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
