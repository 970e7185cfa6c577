"""Notification of mounts and unmounts: that is how named namespaces come and go; netlink has no event for it."""

import asyncio
import os
import select
from collections.abc import Callable


class MountEvents:
    """Calls *take* on the loop after every change of the mount table. Nothing is read.

    The kernel shows the change as an exceptional condition of mountinfo, which asyncio's loop does not wait for: an
    epoll of its own does, and the loop waits for that.
    """

    def __init__(self, take: Callable[[], None]) -> None:
        self._take = take
        self._file = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._file, select.EPOLLPRI)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._epoll.fileno(), self._drain)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        os.close(self._file)

    def _drain(self) -> None:
        """Report the change. Polling again consumes the condition; it carries no data."""
        self._epoll.poll(0)
        self._take()
