"""Changes of the table ``inet neo`` that others make, and who made them."""

import socket
from collections.abc import Callable, Iterator
from typing import Final

from neod.kernel.multicast import Multicast
from neod.kernel.nfnetlink import GENMSG_BYTES, NEWGEN, SUBSYSTEM, be32, open_nfnetlink
from neod.kernel.rtnl import SO_RCVBUFFORCE, messages
from neod.model.change import Actor
from neod.wire import attrs, text

NFNLGRP_NFTABLES: Final = 7
OWN_NAME: Final = 1  # every message but NEWGEN begins with the name of its table
PROC_PID, PROC_NAME = 2, 3
RECEIVE_BUFFER_BYTES: Final = 4 << 20


class NftEvents(Multicast):
    """Tells, on the loop, that a transaction touched our table: *take* gets who did it."""

    def __init__(
        self,
        take: Callable[[Actor | None], None],
        lost: Callable[[], None],
        opener: Callable[[], socket.socket] = open_nfnetlink,
    ) -> None:
        sock = opener()
        super().__init__(sock, [NFNLGRP_NFTABLES], self._take_all, lost)
        self._take = take
        self._touched = False
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)

    def _take_all(self, datagrams: Iterator[bytes]) -> None:
        for data in datagrams:
            self._look(data)

    def _look(self, data: bytes) -> None:
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
