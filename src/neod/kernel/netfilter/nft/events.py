"""Changes of the table ``inet neo`` that others make, and who made them."""

import os
from collections.abc import Callable, Iterator
from typing import Final

from neod.kernel.errors import kernel_call
from neod.model.change import Actor
from neod.netlink.message import Message
from neod.netlink.multicast import Subscription
from neod.netlink.nfnetlink import NFNLGRP_NFTABLES, NFT_MSG_NEWGEN, author_in, table_named_in
from neod.netlink.socket import NETLINK_NETFILTER, Opener, open_socket

TABLE: Final = "neo"
RECEIVE_BUFFER_BYTES: Final = 4 << 20


class NftEvents(Subscription):
    """Reports, on the loop, that a transaction touched our table: *take* gets who did it."""

    def __init__(
        self, take: Callable[[Actor | None], None], lost: Callable[[], None], opener: Opener = open_socket
    ) -> None:
        self._take = take
        self._touched, self._own = False, os.getpid()
        with kernel_call("subscribe to nftables"):
            super().__init__(opener(NETLINK_NETFILTER, RECEIVE_BUFFER_BYTES), [NFNLGRP_NFTABLES], self._take_all, lost)

    def _take_all(self, messages: Iterator[Message]) -> None:
        """Note messages about our table; the one that ends the transaction says who."""
        for type_, _, _, _, payload in messages:
            if type_ != NFT_MSG_NEWGEN:
                self._touched |= table_named_in(payload) == TABLE
            elif self._touched:
                self._touched = False
                author = author_in(payload)
                if author is None or author[0] != self._own:  # what we wrote ourselves was acknowledged
                    self._take(Actor(*author) if author is not None else None)
