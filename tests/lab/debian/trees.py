"""Debian trees to boot, with neo built inside each: made once, kept under ``build``, for containers and machines alike.

What this machine cannot do is found out before and raised as :class:`Unavailable`,
which fixtures turn into a skip with the reason. What fails after that is a failure.
"""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
SUITES = tuple(os.environ.get("SUITE", "bookworm trixie").split())
"""The releases that tests run on; ``SUITE=trixie make test-box`` takes one."""

NO_MIRROR = 75
"""Exit status of ``tools/tree.sh`` when Debian's mirror does not answer."""

MOUNTS = """mount -t tmpfs tmpfs /mnt
mkdir /mnt/lower /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
"""


class Unavailable(Exception):
    """This machine cannot run tests of this sort; why."""


@dataclass(frozen=True, slots=True)
class Debian:
    """One release of Debian."""

    suite: str
    place: Path
    """Holds ``root``, the tree; ``kernel``, what a machine boots; and what was built."""

    @property
    def root(self) -> Path:
        """The tree, which nobody writes to."""
        return self.place / "root"

    def build(self) -> "Built":
        """Build neo inside, unless this very source was built before."""
        return Built(Path(_last_line([str(TOP / "tests/lab/debian/build.sh"), str(self.place)])))


@dataclass(frozen=True, slots=True)
class Built:
    """What was built of this source for one release."""

    place: Path

    @property
    def installed(self) -> Path:
        """A tree of what ``make install`` puts there."""
        return self.place / "installed"

    @property
    def package(self) -> Path:
        """The Debian package."""
        return next(self.place.glob("neo_*.deb"))

    @property
    def wheels(self) -> Path:
        """What pip needs to install neo without a network."""
        return (self.place / "wheels").resolve()


def demand(*tools: str) -> None:
    """Return if tests that boot a Debian with these tools can run here."""
    if os.geteuid():
        raise Unavailable("needs root")
    if absent := [tool for tool in tools if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]:
        raise Unavailable(f"not installed: {' '.join(absent)}")
    probe = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "sh", "-ec", MOUNTS]
    if (done := subprocess.run(probe, capture_output=True, text=True, check=False)).returncode:
        raise Unavailable(f"may not mount: {done.stderr.strip()}")


def debian(suite: str) -> Debian:
    """Return a release, made now if it is not there."""
    if platform.machine() != "x86_64":
        raise Unavailable(f"made for x86_64, not {platform.machine()}")
    try:
        return Debian(suite, Path(_last_line([str(TOP / "tools/tree.sh"), suite])))
    except subprocess.CalledProcessError as error:
        if error.returncode == NO_MIRROR:
            raise Unavailable(f"no mirror of Debian {suite} answers") from None
        raise


def _last_line(argv: list[str]) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
