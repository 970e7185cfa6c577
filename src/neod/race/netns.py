"""Sockets in another network namespace: the thread goes there, makes one, and comes back.

neo-race's own thread, not a helper: it is the only one that makes sockets,
and two system calls cost less than handing work over. It needs CAP_SYS_ADMIN,
which ``neo-race.service`` does not have; a service inside the namespace
(``NetworkNamespacePath=``) does without.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

CLONE_NEWNET: Final = 0x40000000
NAMED: Final = Path("/run/netns")
T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)


class Lost(BaseException):
    """The thread could not return from a namespace.

    Nothing it does now is in its place: whoever goes on after an ``Exception``
    must not go on after this.
    """


def _enter(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


class Netns:
    """A named namespace. Its name is looked up each time: it may be made anew."""

    def __init__(self, name: str, home: int | None = None) -> None:
        self._path = NAMED / name
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC) if home is None else home

    def inside(self, call: Callable[[], T]) -> T:
        """Return what *call* returns inside; the thread is home again, whatever happens.

        Raises:
            OSError: there is no such namespace, it may not be entered, or *call* raised it.
            Lost: there is no way back; end the process.
        """
        there = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            return call()
        finally:
            try:
                _enter(self._home)
            except OSError as error:
                raise Lost(f"cannot leave {self._path}") from error

    def close(self) -> None:
        """Let the way home go."""
        os.close(self._home)
