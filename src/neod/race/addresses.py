"""Which addresses this host has, read from the kernel, and a notice when that changes.

Read-only, and synchronous: a dump of a thousand addresses takes two
milliseconds, and happens only when something has changed.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from neod.netlink import rtnetlink
from neod.netlink.attributes import attrs, ip, number, string
from neod.netlink.message import Message
from neod.netlink.multicast import Subscription
from neod.netlink.socket import NETLINK_ROUTE, Connection, open_socket
from neod.race.loop import IN, Loop

IFLA_IFNAME: Final = 3
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
UNFIT: Final = 0x20 | 0x08 | 0x40
"""Deprecated, a duplicate of somebody else's, or still being checked: IFA_F_DEPRECATED, DADFAILED, TENTATIVE."""

IFF_UP, IFF_LOOPBACK, IFF_RUNNING = 0x1, 0x8, 0x40
GROUPS: Final = (rtnetlink.RTNLGRP_LINK, rtnetlink.RTNLGRP_IPV4_IFADDR, rtnetlink.RTNLGRP_IPV6_IFADDR)
RECEIVE_BUFFER_BYTES: Final = 1 << 18
TIMEOUT_S: Final = 2.0
SETTLE_S: Final = 0.1
"""A burst of changes (a renewed lease, a flapping link) is one change."""


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """One address of this host; *fit* when connections may start from it."""

    link: str
    ip: str
    fit: bool
    loopback: bool = False


def read() -> tuple[LocalAddress, ...]:
    """Return every address of the calling thread's namespace.

    Raises:
        OSError: the kernel did not answer, or kept changing while it was read.
    """
    with Connection(NETLINK_ROUTE, timeout_s=TIMEOUT_S) as connection:
        links = dict(
            _link(payload)
            for _, payload in connection.dump(rtnetlink.RTM_GETLINK, rtnetlink.IFINFO.pack(0, 0, 0, 0, 0))
        )
        addresses = connection.dump(rtnetlink.RTM_GETADDR, rtnetlink.IFADDR.pack(0, 0, 0, 0, 0))
    return tuple(_address(payload, links) for _, payload in addresses)


def _link(payload: memoryview) -> tuple[int, tuple[str, int]]:
    """Return the index of a link, and its name and flags."""
    _, _, index, flags, _ = rtnetlink.IFINFO.unpack_from(payload)
    return index, (string(attrs(payload, rtnetlink.IFINFO.size), IFLA_IFNAME), flags)


def _address(payload: memoryview, links: dict[int, tuple[str, int]]) -> LocalAddress:
    _, _, flags, scope, index = rtnetlink.IFADDR.unpack_from(payload)
    found = attrs(payload, rtnetlink.IFADDR.size)
    name, link_flags = links.get(index, ("", 0))
    address = ip(found.get(IFA_LOCAL, found[IFA_ADDRESS]))
    flags = number(found, IFA_FLAGS, default=flags)
    up = link_flags & IFF_UP and link_flags & IFF_RUNNING
    usable = bool(up and scope == 0 and not flags & UNFIT)
    return LocalAddress(name, str(address), usable, bool(link_flags & IFF_LOOPBACK))


class AddressWatch:
    """Calls *changed* a moment after links or addresses changed. What changed has to be read."""

    def __init__(self, loop: Loop, changed: Callable[[], None]) -> None:
        self._loop, self._changed = loop, changed
        self._settling = False
        sock = open_socket(NETLINK_ROUTE, RECEIVE_BUFFER_BYTES)
        self._events = Subscription(sock, GROUPS, self._take, self._settle)
        loop.watch(sock.fileno(), lambda _: self._events.read(), IN)

    def close(self) -> None:
        self._loop.close_later(self._events.sock)

    def _take(self, messages: Iterator[Message]) -> None:
        """Read everything off the socket; whatever it is, it is a change."""
        deque(messages, maxlen=0)
        self._settle()

    def _settle(self) -> None:
        if not self._settling:
            self._settling = True
            self._loop.call_later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        self._settling = False
        self._changed()
