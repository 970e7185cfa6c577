"""Which programs live in network namespaces, or hold one open. What /proc does not show us is left out.

Only who may trace a process (ptrace(2), PTRACE_MODE_READ_FSCREDS) sees its namespace: that takes CAP_SYS_PTRACE where
it runs as another user, or has more capabilities.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from neod.model.ports import Dweller
from neod.netlink.netns import NAMED, OWN

NAMESPACE: Final = re.compile(r"net:\[([0-9]+)\]")
UNIT: Final = re.compile(r"^0::/system\.slice/(?:[^/]+\.slice/)*([^/]+\.service)", re.MULTILINE)
SOCKETS: Final = {"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "unix": 6}
"""Files below /proc/net, and the place of the inode in a line: 0 of a connection that no program has any more."""


def where_processes_are(*, descriptors: bool = False) -> Mapping[int, Mapping[int, str]]:
    """Return, for each namespace but our own, by inode, its processes, each with a path to it: of threads, the first.

    With *descriptors* also those that hold it open. Our own process and its children do not count.
    """
    found: defaultdict[int, dict[int, str]] = defaultdict(dict)
    for pid in _pids():
        for path in (f"/proc/{pid}/ns/net", *(_descriptors(pid) if descriptors else ())):
            if inode := _inode(path):
                found[inode].setdefault(pid, path)
    found.pop(os.stat(OWN).st_ino, None)  # noqa: PTH116  Path.stat would resolve the link
    others = ((inode, {pid: path for pid, path in at.items() if not _is_ours(pid)}) for inode, at in found.items())
    return {inode: at for inode, at in others if at}


def _inode(path: str) -> int:
    """Return the namespace that a link of /proc leads to; 0 where it is something else, or not shown.

    One that was opened by its name shows that, or the root once the name is unmounted. No other file is asked: a file
    system that hangs would not answer.
    """
    try:
        shown = os.readlink(path)  # noqa: PTH115  thousands of them
        if found := NAMESPACE.fullmatch(shown):
            return int(found[1])
        if shown == "/" or shown.startswith(f"{NAMED}/"):
            status = os.stat(path)  # noqa: PTH116
            return status.st_ino if status.st_dev == os.stat(OWN).st_dev else 0  # noqa: PTH116
    except OSError:
        pass
    return 0


def _pids() -> Iterator[int]:
    with os.scandir("/proc") as entries:
        yield from (int(entry.name) for entry in entries if entry.name.isdecimal())


def _descriptors(pid: int) -> list[str]:
    try:
        return [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]  # noqa: PTH208  many of them
    except OSError:
        return []


def _is_ours(pid: int) -> bool:
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return False
    return os.getpid() in (pid, parent)


def named(pids: Iterable[int]) -> tuple[Dweller, ...]:
    """Return what people call the processes: program and unit; those that have ended are left out."""
    return tuple(found for pid in sorted(pids) if (found := _named(pid)) is not None)


def _named(pid: int) -> Dweller | None:
    process = Path(f"/proc/{pid}")
    try:
        program = (process / "comm").read_text().strip()
        unit = UNIT.search((process / "cgroup").read_text())
    except (OSError, UnicodeDecodeError):
        return None
    return Dweller(pid, program, unit[1] if unit else "")


def has_sockets() -> bool:
    """Whether a program has a socket in the calling thread's namespace, wherever it lives itself."""
    return any(_inodes(name, place) for name, place in SOCKETS.items())


def _inodes(name: str, place: int) -> bool:
    try:
        lines = Path(f"/proc/thread-self/net/{name}").read_text().splitlines()[1:]
    except OSError:
        return False
    return any(len(words := line.split()) > place and words[place] != "0" for line in lines)
