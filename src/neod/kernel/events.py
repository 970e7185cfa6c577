"""The event plane: netlink multicast of one namespace, as messages to look at.

Nothing is decided here and nothing read: whoever takes a message must ask the
kernel again. Overruns are reported, never fatal, and never slept upon.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from neod.kernel.bpf import attach, route_filter
from neod.kernel.multicast import Multicast
from neod.kernel.rtnl import open_netlink
from neod.model.change import Actor
from neod.wire import HEADER

RECEIVE_BUFFER_BYTES: Final = 16 << 20

Taker = Callable[[int, memoryview, Actor | None], None]  # type, payload, who


def actor_of(port_id: int) -> Actor | None:
    """Return the program that owns a netlink port, if the port is its process id and it still lives.

    The kernel gives a process's first socket its pid as port; later ones get
    arbitrary numbers, which name nobody.
    """
    if not 0 < port_id < 1 << 22:
        return None
    try:
        return Actor(port_id, Path(f"/proc/{port_id}/comm").read_text().strip())
    except OSError:
        return Actor(port_id, "")


class EventSocket(Multicast):
    """Multicast messages of one namespace, delivered on the loop: *take* gets each."""

    def __init__(
        self,
        groups: Iterable[int],
        take: Taker,
        lost: Callable[[], None],
        opener: Callable[[int], socket.socket] = open_netlink,
    ) -> None:
        super().__init__(opener(RECEIVE_BUFFER_BYTES), groups, self._take_all, lost)
        self._take = take
        self.received = 0

    def filter(self, protocol: int, tables: Iterable[int], own_port: int) -> None:
        """Let through only what can concern us; call it again when the tables change."""
        attach(self.sock, route_filter(protocol, tables, own_port))

    def _take_all(self, datagrams: Iterator[bytes]) -> None:
        actors: dict[int, Actor | None] = {}
        for data in datagrams:
            self._deliver(data, actors)

    def _deliver(self, data: bytes, actors: dict[int, Actor | None]) -> None:
        view, offset = memoryview(data), 0
        while offset + 16 <= len(data):
            length, type_, _, _, port_id = HEADER.unpack_from(data, offset)
            if length < 16 or offset + length > len(data):
                return
            self.received += 1
            if port_id not in actors:
                actors[port_id] = actor_of(port_id)
            self._take(type_, view[offset + 16 : offset + length], actors[port_id])
            offset += (length + 3) & ~3
