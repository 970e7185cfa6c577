"""Fixtures: Debian with its own kernel in a virtual machine, neo installed in it as a package."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.lab import exit_on_sigterm, sweep
from tests.lab.debian.host import Host
from tests.lab.debian.machine import QEMU, booted
from tests.lab.debian.trees import Unavailable, debian, demand

TOP = Path(__file__).resolve().parents[3]

SUITES = os.environ.get("SUITE", "bookworm").split()
"""Debian 12 for its kernel, which is the oldest that is promised; ``SUITE=trixie make test-vm`` takes another."""

TOOLS = ("mmdebstrap", QEMU, "qemu-img", "cpio", "xz", "mke2fs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.vm)
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session", params=SUITES)
def image(request: pytest.FixtureRequest) -> Path:
    """A disk with one release of Debian and neo on it, made once and kept."""
    try:
        demand(*TOOLS)
        exit_on_sigterm()
        sweep()
        release = debian(request.param)
    except Unavailable as reason:
        pytest.skip(str(reason))
    argv = [str(TOP / "tests/lab/debian/image.sh"), str(release.place), str(release.build().place)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


@pytest.fixture
def fresh(image: Path) -> Iterator[Host]:
    """A host that has booted; neo is installed and not enabled."""
    with closing(Host(image, booted(image))) as made:
        made.start()
        yield made


@pytest.fixture(scope="session")
def settled(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a host with neod enabled and all that its file asks for there."""
    folder = tmp_path_factory.mktemp("vm") / "settled"
    with closing(Host(image, booted(image))) as made:
        made.start()
        made.settle()
        made.save(folder)
    return folder


@pytest.fixture
def running(image: Path, settled: Path) -> Iterator[Host]:
    """A host that goes on from there."""
    with closing(Host(image, settled)) as made:
        made.start()
        yield made
