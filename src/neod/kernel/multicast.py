"""Netlink multicast on the loop: what the kernel alone says, in bounded portions, and whether something was lost."""

import asyncio
import errno
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from neod.kernel.rtnl import SOL_NETLINK

NETLINK_ADD_MEMBERSHIP: Final = 1
DATAGRAM_BYTES: Final = 1 << 17

PORTION: Final = 256
"""Datagrams a turn of the loop: others want their turn in a storm."""


class Multicast:
    """A non-blocking netlink socket in *groups*: *read* gets what came, *lost* is called for an overrun.

    An overrun (ENOBUFS) must lead to a full look.
    """

    def __init__(
        self,
        sock: socket.socket,
        groups: Iterable[int],
        read: Callable[[Iterator[bytes]], None],
        lost: Callable[[], None],
    ) -> None:
        self.sock, self._read, self._lost = sock, read, lost
        self.overruns = self.spoofed = 0
        sock.setblocking(False)
        for group in groups:
            sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver from now on; what was queued since the socket exists comes first."""
        loop.add_reader(self.sock.fileno(), lambda: self._read(self._datagrams()))

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop delivering and leave the groups."""
        loop.remove_reader(self.sock.fileno())
        self.sock.close()

    def _datagrams(self) -> Iterator[bytes]:
        for _ in range(PORTION):
            try:
                data, (sender, _group) = self.sock.recvfrom(DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.overruns += 1
                self._lost()
                continue
            if sender == 0:  # only the kernel speaks for the kernel
                yield data
            else:
                self.spoofed += 1
