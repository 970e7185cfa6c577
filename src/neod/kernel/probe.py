"""What this kernel and this host can do, found out by trying or by looking. Changes nothing that stays."""

import functools
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from neod.netlink import generic
from neod.netlink.netns import in_new_netns

PROC: Final = Path("/proc")


def link_drivers(names: Iterable[str]) -> Mapping[str, bool]:
    """Return which drivers of links the kernel has: each is asked for one, in a namespace that is gone afterwards.

    Raises:
        OSError: no namespace can be made here.
    """
    return in_new_netns(functools.partial(generic.link_drivers, names))


def programs() -> Mapping[str, int]:
    """Return the names of the processes of this host, each with one of its ids."""
    found: dict[str, int] = {}
    for directory in PROC.iterdir():
        if directory.name.isdigit():
            try:
                found.setdefault((directory / "comm").read_text().strip(), int(directory.name))
            except OSError:
                continue
    return found


def installed(*names: str) -> tuple[str, ...]:
    """Return which of the programs are there."""
    return tuple(name for name in names if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin"))
