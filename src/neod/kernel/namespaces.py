"""Entering network namespaces without leaving a thread in the wrong one."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from neod.kernel.errors import from_os_error

NAMED: Final = Path("/run/netns")
CLONE_NEWNET: Final = 0x40000000
T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)


def _enter(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(fd)


def within_netns(path: Path, call: Callable[[], T]) -> T:
    """Return what *call* returns when it runs in the namespace at *path*.

    A thread is made for it and ends with it: setns belongs to a thread, and
    one that were used again would do its next work in the wrong place.

    Raises:
        KernelError: the namespace cannot be entered, or *call* met an OSError.
    """
    done: list[T] = []
    failed: list[OSError] = []

    def run() -> None:
        try:
            _enter(path)
            done.append(call())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    if failed:
        raise from_os_error(f"in {path}", failed[0]) from failed[0]
    return done[0]


def named_elsewhere() -> Iterator[Path]:
    """Yield the named namespaces but our own."""
    own = os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116
    for path in sorted(NAMED.glob("*")):
        try:
            if path.stat().st_ino != own:
                yield path
        except OSError:
            continue
