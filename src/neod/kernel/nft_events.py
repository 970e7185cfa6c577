"""Changes of the table ``inet neo`` that others make, and who made them."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

from neod.kernel.nfnetlink import GENMSG_BYTES, NEWGEN, SUBSYSTEM, be32, open_nfnetlink
from neod.kernel.rtnl import SO_RCVBUFFORCE, SOL_NETLINK, messages
from neod.model.change import Actor
from neod.wire import attrs, text

NFNLGRP_NFTABLES: Final = 7
NETLINK_ADD_MEMBERSHIP: Final = 1
OWN_NAME: Final = 1  # every message but NEWGEN begins with the name of its table
PROC_PID, PROC_NAME = 2, 3
RECEIVE_BUFFER_BYTES: Final = 4 << 20
DRAIN: Final = 256


class NftEvents:
    """Tells, on the loop, that a transaction touched our table: *take* gets who did it.

    *lost* is called once for an overrun.
    """

    def __init__(
        self,
        take: Callable[[Actor | None], None],
        lost: Callable[[], None],
        opener: Callable[[], socket.socket] = open_nfnetlink,
    ) -> None:
        self._take, self._lost = take, lost
        self._touched = False
        self._sock = opener()
        self._sock.setblocking(False)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        except PermissionError:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver from now on."""
        loop.add_reader(self._sock.fileno(), self._drain)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop delivering."""
        loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _drain(self) -> None:
        for _ in range(DRAIN):
            try:
                data, (sender, _group) = self._sock.recvfrom(1 << 17)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._lost()
                continue
            if sender == 0:
                self._read(data)

    def _read(self, data: bytes) -> None:
        """Note messages about our table; the one that ends the transaction says who."""
        for type_, _, _, payload in messages(data):
            told = attrs(payload, GENMSG_BYTES)
            if type_ == SUBSYSTEM | NEWGEN:
                if self._touched:
                    self._touched = False
                    self._take(_actor(told))
            elif OWN_NAME in told and text(told[OWN_NAME]) == "neo":
                self._touched = True


def _actor(told: dict[int, memoryview]) -> Actor | None:
    if PROC_PID not in told:
        return None
    return Actor(be32(told[PROC_PID]), text(told[PROC_NAME]) if PROC_NAME in told else "")
