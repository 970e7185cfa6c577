"""Entering network namespaces without leaving a thread in the wrong one."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
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
    done: Future[T] = Future()

    def run() -> None:
        try:
            _enter(path)
            done.set_result(call())
        except BaseException as error:  # for the caller's thread to raise
            done.set_exception(error)

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    try:
        return done.result()
    except OSError as error:
        raise from_os_error(f"in {path}", error) from error


def named_elsewhere() -> Iterator[Path]:
    """Yield the named namespaces but our own."""
    own = os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116
    for path in sorted(NAMED.glob("*")):
        try:
            if path.stat().st_ino != own:
                yield path
        except OSError:
            continue
