"""Netlink multicast: what the kernel sends to groups, in bounded portions, and whether something was lost.

The loop is the caller's: asyncio's, or any that watches a file descriptor.
"""

import errno
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from neod.netlink.message import Message, messages
from neod.netlink.socket import DATAGRAM_BYTES, SOL_NETLINK

NETLINK_ADD_MEMBERSHIP: Final = 1

PORTION: Final = 256
"""Datagrams a turn of the loop, so that a storm does not keep the loop from everything else."""


class Readers(Protocol):
    """The part of an event loop that a subscription needs (asyncio's fulfils it)."""

    def add_reader(self, fd: int, callback: Callable[[], object]) -> object:
        """Call *callback* whenever *fd* is readable."""
        ...

    def remove_reader(self, fd: int) -> object: ...


class Subscription:
    """A non-blocking netlink socket in *groups*: *take* gets a portion of messages, *lost* is called for an overrun.

    After an overrun (ENOBUFS) the state has to be read anew: what was lost is unknown.
    """

    def __init__(
        self,
        sock: socket.socket,
        groups: Iterable[int],
        take: Callable[[Iterator[Message]], None],
        lost: Callable[[], None],
    ) -> None:
        self.sock, self._deliver, self._lost = sock, take, lost
        self.received = self.overruns = self.spoofed = 0
        sock.setblocking(False)
        for group in groups:
            sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def start(self, loop: Readers) -> None:
        """Deliver from now on; what was queued since the socket exists comes first."""
        loop.add_reader(self.sock.fileno(), self.read)

    def close(self, loop: Readers) -> None:
        """Stop delivering and leave the groups."""
        loop.remove_reader(self.sock.fileno())
        self.sock.close()

    def read(self) -> None:
        """Deliver what is queued, at most a portion of it."""
        self._deliver(self._messages())

    def _messages(self) -> Iterator[Message]:
        for data in self._datagrams():
            for message in messages(data):
                self.received += 1
                yield message

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
            if sender == 0:  # any process may send to a group that its user may join; only port 0 is the kernel
                yield data
            else:
                self.spoofed += 1
