"""The event plane: rtnetlink multicast of one namespace, with the process that caused each message.

Nothing is decided here and nothing read: a message only says where to look,
and the kernel is read again before anything is decided.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from neod.kernel.errors import kernel_call
from neod.model.change import Actor
from neod.netlink.message import Message
from neod.netlink.multicast import Subscription
from neod.netlink.route_filter import attach, route_filter
from neod.netlink.socket import NETLINK_ROUTE, Opener, open_socket

RECEIVE_BUFFER_BYTES: Final = 16 << 20

Taker = Callable[[int, memoryview, Actor | None], None]  # type, payload, who


def actor_of(port_id: int) -> Actor | None:
    """Return the program that owns a netlink port, if the port is its process id and it still runs.

    The kernel gives a process's first socket its pid as port; later ones get arbitrary numbers, which name nobody.
    """
    if not 0 < port_id < 1 << 22:
        return None
    try:
        return Actor(port_id, Path(f"/proc/{port_id}/comm").read_text().strip())
    except OSError:
        return Actor(port_id, "")


class EventSocket(Subscription):
    """Multicast messages of one namespace, delivered on the loop: *take* gets each."""

    def __init__(
        self, groups: Iterable[int], take: Taker, lost: Callable[[], None], opener: Opener = open_socket
    ) -> None:
        self._take = take
        with kernel_call("subscribe to rtnetlink"):
            super().__init__(opener(NETLINK_ROUTE, RECEIVE_BUFFER_BYTES), groups, self._take_all, lost)

    def filter(self, protocol: int, tables: Iterable[int], own_port: int) -> None:
        """Let through only what can concern us; call it again when the tables change."""
        attach(self.sock, route_filter(protocol, tables, own_port))

    def _take_all(self, messages: Iterator[Message]) -> None:
        actors: dict[int, Actor | None] = {}
        for type_, _, _, port_id, payload in messages:
            if port_id not in actors:
                actors[port_id] = actor_of(port_id)
            self._take(type_, payload, actors[port_id])
