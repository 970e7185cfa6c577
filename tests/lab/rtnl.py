"""A second, independent reading of rtnetlink: the judge must not share code with the judged."""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from tests.lab.netns import inside

NEWLINK, DELLINK, GETLINK = 16, 17, 18
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWRULE, DELRULE, GETRULE = 32, 33, 34
NAMES: Final = {
    NEWLINK: "link",
    DELLINK: "link-",
    NEWADDR: "address",
    DELADDR: "address-",
    NEWROUTE: "route",
    DELROUTE: "route-",
    NEWRULE: "rule",
    DELRULE: "rule-",
}

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
DUMP_INTR = 0x10
GROUP_LINK, GROUP_ADDR4, GROUP_ROUTE4, GROUP_RULE4 = 1, 5, 7, 8
GROUP_ADDR6, GROUP_ROUTE6, GROUP_RULE6 = 9, 11, 19
EVERYTHING: Final = (GROUP_LINK, GROUP_ADDR4, GROUP_ROUTE4, GROUP_RULE4, GROUP_ADDR6, GROUP_ROUTE6, GROUP_RULE6)

_SOL_NETLINK, _ADD_MEMBERSHIP, _GET_STRICT_CHK = 270, 1, 12
_SO_RCVBUFFORCE = 33
_HEADER = struct.Struct("=IHHII")
_ATTR = struct.Struct("=HH")


def attr(kind: int, data: bytes) -> bytes:
    """Pack one attribute with its padding."""
    return _ATTR.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


def attributes(data: memoryview | bytes) -> dict[int, memoryview]:
    """Unpack attributes; the last of a kind wins, flags of the kind are dropped."""
    view, found, at = memoryview(data), {}, 0
    while at + 4 <= len(view):
        length, kind = _ATTR.unpack_from(view, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = view[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def number(data: memoryview | None, default: int = 0) -> int:
    """Read an attribute as an unsigned number of the host's byte order."""
    return default if data is None else int.from_bytes(data, "little")


def text(data: memoryview | None) -> str:
    """Read an attribute as a string that ends at the first NUL."""
    return "" if data is None else bytes(data).split(b"\0")[0].decode()


def split(datagram: bytes) -> Iterator[tuple[int, int, int, memoryview]]:
    """Yield ``(type, flags, port id, payload)`` of every message of a datagram."""
    view, at = memoryview(datagram), 0
    while at + 16 <= len(view):
        length, kind, flags, _seq, port = _HEADER.unpack_from(view, at)
        if length < 16:
            break
        yield kind, flags, port, view[at + 16 : at + length]
        at += (length + 3) & ~3


class Rtnl:
    """A blocking rtnetlink socket of one namespace, which it may outlive."""

    def __init__(self, ns: str | None = None, groups: Sequence[int] = ()) -> None:
        with inside(ns):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        with contextlib.suppress(PermissionError):  # root of a user namespace only
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        with contextlib.suppress(OSError):
            self.socket.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
        self.socket.bind((0, 0))
        for group in groups:
            self.socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        self._sequence = 0

    def __enter__(self) -> "Rtnl":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def dump(self, kind: int, payload: bytes) -> list[tuple[int, memoryview]]:
        """Return every object of a dump; asks again when the kernel says it was torn."""
        for _ in range(20):
            found, torn = self._dump_once(kind, payload)
            if not torn:
                return found
        raise OSError(errno.EINTR, "dump torn 20 times")

    def _dump_once(self, kind: int, payload: bytes) -> tuple[list[tuple[int, memoryview]], bool]:
        self._send(kind, REQUEST | DUMP, payload)
        found: list[tuple[int, memoryview]] = []
        torn = False
        while True:
            for got, flags, _port, body in split(self.socket.recv(1 << 20)):
                torn = torn or bool(flags & DUMP_INTR)
                if got == 3:
                    return found, torn
                if got == 2 and (code := -int.from_bytes(body[:4], "little", signed=True)):
                    raise OSError(code, os.strerror(code))
                found.append((got, body))

    def request(self, kind: int, flags: int, payload: bytes) -> None:
        """Do one thing and wait for the kernel's word; OSError when refused."""
        self._send(kind, REQUEST | ACK | flags, payload)
        while True:
            for got, _flags, _port, body in split(self.socket.recv(1 << 16)):
                if got == 2:
                    if code := -int.from_bytes(body[:4], "little", signed=True):
                        raise OSError(code, os.strerror(code))
                    return

    def events(self) -> list[tuple[int, int, memoryview]]:
        """Return ``(type, port id, payload)`` of all that is queued now, without waiting."""
        found = []
        while True:
            try:
                datagram = self.socket.recv(1 << 18, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            found += [(kind, port, body) for kind, _flags, port, body in split(datagram)]

    def _send(self, kind: int, flags: int, payload: bytes) -> None:
        self._sequence += 1
        self.socket.send(_HEADER.pack(16 + len(payload), kind, flags, self._sequence, 0) + payload)
