"""Network namespaces, entered for the time of one call: the only module that calls ``setns`` and ``unshare``.

A namespace belongs to a thread. :func:`in_netns` takes a thread of its own, which ends with the call, so that nothing
can stay in the wrong place. :class:`NetnsEntry` goes there with the calling thread and comes back: two system calls
instead of a thread, for a program that opens a socket there for each connection. Both need CAP_SYS_ADMIN. Knows nothing
of neo.
"""

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

from neod.netlink.libc import check, libc
from neod.netlink.message import NetlinkError
from neod.netlink.socket import Opener, open_socket

CLONE_NEWNET: Final = 0x40000000
NAMED: Final = Path("/run/netns")
OWN: Final = Path("/proc/thread-self/ns/net")
T = TypeVar("T")


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _enter(path: Path) -> None:
    fd = _open(path)
    try:
        check("setns", libc.setns(fd, CLONE_NEWNET))
    finally:
        os.close(fd)


def in_thread(call: Callable[[], T]) -> T:
    """Return what *call* returns in a thread that ends with it, whatever namespace it ends up in."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # for the caller's thread to raise
            done.set_exception(error)

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    return done.result()


def in_netns(path: Path, call: Callable[[], T]) -> T:
    """Return what *call* returns in a new thread in the namespace at *path*.

    Raises:
        OSError: the namespace cannot be entered, or *call* raised it.
    """

    def run() -> T:
        _enter(path)
        return call()

    return in_thread(run)


def in_new_netns(call: Callable[[], T]) -> T:
    """Return what *call* returns in a new thread in a new namespace, which has no name and ends with the call.

    Raises:
        OSError: no namespace can be made, or *call* raised it.
    """

    def run() -> T:
        check("unshare", libc.unshare(CLONE_NEWNET))
        return call()

    return in_thread(run)


def elsewhere() -> Iterator[tuple[str, Path]]:
    """Yield what people call each namespace except our own, and where it is: its name, or a program in it."""
    known = {os.stat(OWN).st_ino}  # noqa: PTH116  Path.stat would resolve the link
    named = ((path.name, path) for path in sorted(NAMED.glob("*")))
    inhabited = ((f"of process {path.parts[2]}", path) for path in Path("/proc").glob("[0-9]*/ns/net"))
    for name, path in chain(named, inhabited):
        try:
            inode = path.stat().st_ino
        except OSError:
            continue
        if inode not in known:
            known.add(inode)
            yield name, path


class StuckInNetns(BaseException):
    """The thread is stuck in a foreign namespace.

    Not an ``Exception``, so that generic handlers do not continue there.
    """


class NetnsEntry:
    """Runs calls of this thread in a named namespace, looked up each time: the name may stand for another one later."""

    def __init__(self, name: str, home: int | None = None) -> None:
        self._path = NAMED / name
        self._home = _open(OWN) if home is None else home

    def inside(self, call: Callable[[], T]) -> T:
        """Return what *call* returns inside; afterwards the thread is in its own namespace again.

        Raises:
            OSError: the namespace cannot be entered, or *call* raised it.
            StuckInNetns: the thread cannot return; end the process.
        """
        _enter(self._path)
        try:
            return call()
        finally:
            try:
                check("setns", libc.setns(self._home, CLONE_NEWNET))
            except OSError as error:
                raise StuckInNetns(f"cannot leave {self._path}") from error

    def close(self) -> None:
        """Close the descriptor of the thread's own namespace."""
        os.close(self._home)


def opener_in(path: Path | None) -> Opener:
    """Return what opens netlink sockets in the namespace at *path*; None is the calling thread's."""
    if path is None:
        return open_socket

    def opener(protocol: int, receive_buffer_bytes: int) -> socket.socket:
        try:
            return in_netns(path, lambda: open_socket(protocol, receive_buffer_bytes))
        except OSError as error:
            raise NetlinkError(error.errno or errno.EIO, f"in {path}: {error.strerror or error}") from error

    return opener
