"""A DHCP server that does as it is told: late, deaf, refusing, renumbering, absurd.

It runs as a thread of the test, so a test changes its mind by assigning to
its fields while it runs.
"""

import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from tests.lab.netns import inside

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE = 1, 2, 3, 4, 5, 6, 7
_COOKIE = b"\x63\x82\x53\x63"
_FIXED = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_SO_BINDTODEVICE = 25


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a client, as far as a server cares."""

    at: float  # CLOCK_MONOTONIC, seconds
    type: int
    xid: int
    flags: int
    ciaddr: IPv4Address
    chaddr: bytes
    options: dict[int, bytes]

    @property
    def mac(self) -> str:
        """The client's hardware address."""
        return self.chaddr.hex(":")

    @property
    def wanted(self) -> IPv4Address:
        """The address a request is about."""
        return IPv4Address(self.options[50]) if 50 in self.options else self.ciaddr

    @property
    def renewing(self) -> bool:
        """Whether the client has the address already."""
        return self.type == REQUEST and int(self.ciaddr) != 0


def parse(data: bytes) -> Message | None:
    """Read a BOOTP request; None for anything else."""
    if len(data) < 240 or data[0] != 1 or data[236:240] != _COOKIE:
        return None
    options, at = {}, 240
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 1 >= len(data):
            return None
        options[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    _op, _ht, hlen, _hops, xid, _secs, flags, ciaddr, _yi, _si, _gi, chaddr, _sname, _file = _FIXED.unpack_from(data)
    kind = options.get(53, b"\0")[0]
    return Message(time.monotonic(), kind, xid, flags, IPv4Address(ciaddr), chaddr[:hlen], options)


class Scripted:
    """A server on one link of a namespace. Fields may be changed while it runs."""

    def __init__(self, ns: str, link: str, server: IPv4Address, network: IPv4Network) -> None:
        self.server, self.network, self.gateway = server, network, server
        self.first = 16 * 256  # offset of the first address
        self.lease_s, self.renew_s, self.rebind_s = 3600, 0, 0  # 0: the client's own arithmetic
        self.delay_s = 0.0
        self.mute = False  # hears, and says nothing
        self.refuse = False  # NAK to every request
        self.refuse_once: set[str] = set()  # MACs that get one NAK
        self.says: dict[int, bytes | None] = {}  # options that are otherwise than usual; None: left out
        self.saw: list[Message] = []
        self._given: dict[bytes, int] = {}
        self._stop = threading.Event()
        with inside(ns):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, link.encode() + b"\0")
        self._socket.bind(("", 67))
        self._socket.settimeout(0.05)
        self._late: list[tuple[float, bytes, tuple[str, int]]] = []
        self._thread = threading.Thread(target=self._serve, name="scripted-dhcp", daemon=True)
        self._thread.start()

    def count(self, kind: int, since: float = 0.0) -> int:
        """Return how many messages of a type came, after an instant of CLOCK_MONOTONIC."""
        return sum(m.type == kind and m.at >= since for m in list(self.saw))

    def senders(self, kind: int, since: float = 0.0) -> set[str]:
        """Return the MACs that sent a message of a type after an instant of CLOCK_MONOTONIC."""
        return {m.mac for m in list(self.saw) if m.type == kind and m.at >= since}

    def types(self, since: float = 0.0) -> Counter[int]:
        """Return how many messages of each type came."""
        return Counter(m.type for m in list(self.saw) if m.at >= since)

    def stop(self) -> None:
        """End the server."""
        self._stop.set()
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._send_late()
            try:
                data, _peer = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            message = parse(data)
            if message is None:
                continue
            self.saw.append(message)
            if not self.mute and (reply := self._answer(message)):
                target = str(message.ciaddr) if message.renewing and not self.refuse else "255.255.255.255"
                self._late.append((time.monotonic() + self.delay_s, reply, (target, 68)))
                self._send_late()

    def _send_late(self) -> None:
        now = time.monotonic()
        for entry in [entry for entry in self._late if entry[0] <= now]:
            self._late.remove(entry)
            try:
                self._socket.sendto(entry[1], entry[2])
            except OSError:
                continue  # a client without an address yet, or a link that is down: as lost on the wire

    def _answer(self, message: Message) -> bytes | None:
        if message.type == DISCOVER:
            return self._reply(message, OFFER, self._address(message.chaddr))
        if message.type != REQUEST:
            return None
        if message.options.get(54, self.server.packed) != self.server.packed:
            return None
        once = message.mac in self.refuse_once
        self.refuse_once.discard(message.mac)
        right = self._address(message.chaddr)
        if self.refuse or once or message.wanted != right:
            return self._reply(message, NAK, IPv4Address(0))
        return self._reply(message, ACK, right)

    def _address(self, chaddr: bytes) -> IPv4Address:
        return self.network[self.first + self._given.setdefault(chaddr, len(self._given))]

    def _reply(self, message: Message, kind: int, address: IPv4Address) -> bytes:
        said: dict[int, bytes | None] = {53: bytes([kind]), 54: self.server.packed}
        if kind != NAK:
            said |= {1: self.network.netmask.packed, 3: self.gateway.packed}
            for number, value in ((51, self.lease_s), (58, self.renew_s), (59, self.rebind_s)):
                said[number] = value.to_bytes(4, "big") if value else None
            said |= self.says
        options = b"".join(bytes([code, len(value)]) + value for code, value in said.items() if value is not None)
        fixed = _FIXED.pack(
            2, 1, 6, 0, message.xid, 0, message.flags, b"\0" * 4, address.packed, self.server.packed, b"\0" * 4,
            message.chaddr, b"", b"",
        )  # fmt: skip
        return (fixed + _COOKIE + options + b"\xff").ljust(300, b"\0")
