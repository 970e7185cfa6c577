"""Which addresses this host has, asked of the kernel, and word when that changes.

Read-only, and synchronous: a dump of a thousand addresses takes two
milliseconds, and happens only when something has changed.
"""

import errno
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from neod.race.loop import IN, Loop
from neod.wire import (
    HEADER,
    IFADDR,
    IFINFO,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    RTM_GETADDR,
    RTM_GETLINK,
    attrs,
    ip,
    text,
    u32,
)

IFLA_IFNAME: Final = 3
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
UNFIT: Final = 0x20 | 0x08 | 0x40
"""Deprecated, a duplicate of somebody else's, or still being checked: IFA_F_DEPRECATED, DADFAILED, TENTATIVE."""

IFF_UP, IFF_LOOPBACK, IFF_RUNNING = 0x1, 0x8, 0x40
GROUPS: Final = (1 << 0) | (1 << 4) | (1 << 8)
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR."""

PATIENCE_S: Final = 2.0
TRIES: Final = 5
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
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(PATIENCE_S)
        links = {}
        for payload in _dump(sock, RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0)):
            _, _, index, flags, _ = IFINFO.unpack_from(payload)
            found = attrs(payload, IFINFO.size)
            links[index] = (text(found[IFLA_IFNAME]) if IFLA_IFNAME in found else "", flags)
        return tuple(_address(payload, links) for payload in _dump(sock, RTM_GETADDR, IFADDR.pack(0, 0, 0, 0, 0)))


def _address(payload: memoryview, links: dict[int, tuple[str, int]]) -> LocalAddress:
    _, _, flags, scope, index = IFADDR.unpack_from(payload)
    found = attrs(payload, IFADDR.size)
    name, link_flags = links.get(index, ("", 0))
    told = ip(found.get(IFA_LOCAL, found[IFA_ADDRESS]))
    flags = u32(found[IFA_FLAGS]) if IFA_FLAGS in found else flags
    up = link_flags & IFF_UP and link_flags & IFF_RUNNING
    return LocalAddress(name, str(told), bool(up and scope == 0 and not flags & UNFIT), bool(link_flags & IFF_LOOPBACK))


def _dump(sock: socket.socket, type_: int, payload: bytes) -> list[memoryview]:
    for attempt in range(1, TRIES + 1):
        sock.send(HEADER.pack(HEADER.size + len(payload), type_, NLM_F_REQUEST | NLM_F_DUMP, attempt, 0) + payload)
        found, whole = [], True
        for kind, flags, sequence, body in _answers(sock):
            if sequence != attempt:
                continue
            whole = whole and not flags & NLM_F_DUMP_INTR
            if kind == NLMSG_DONE:
                break
            if kind == NLMSG_ERROR:
                raise OSError(-int.from_bytes(body[:4], "little", signed=True), "netlink dump")
            found.append(body)
        if whole:
            return found
    raise OSError(errno.EINTR, "addresses kept changing while they were read")


def _answers(sock: socket.socket) -> Iterator[tuple[int, int, int, memoryview]]:
    """Yield type, flags, sequence and payload of what comes; the caller knows when that is enough."""
    while True:
        data = memoryview(sock.recv(1 << 17))
        offset = 0
        while offset + HEADER.size <= len(data):
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
            if length < HEADER.size or offset + length > len(data):
                break
            yield kind, flags, sequence, data[offset + HEADER.size : offset + length]
            offset += (length + 3) & ~3


class AddressWatch:
    """Calls *changed* a moment after links or addresses changed. What changed has to be read."""

    def __init__(self, loop: Loop, changed: Callable[[], None]) -> None:
        self._loop, self._changed = loop, changed
        self._settling = False
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._sock = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        try:
            self._sock.bind((0, GROUPS))
        except OSError:
            self._sock.close()
            raise
        loop.watch(self._sock.fileno(), self._on_event, IN)

    def close(self) -> None:
        """Listen no more."""
        self._loop.bury(self._sock)

    def _on_event(self, _: int) -> None:
        """Take everything off the socket; an overrun is a change like any other."""
        while True:
            try:
                self._sock.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
        if not self._settling:
            self._settling = True
            self._loop.later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        self._settling = False
        self._changed()
