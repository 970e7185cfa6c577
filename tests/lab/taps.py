"""Counters that cost nothing while they count: the kernel queues, we read afterwards."""

import array
import socket
import struct
from collections import Counter

from tests.lab import rtnl
from tests.lab.netns import inside
from tests.lab.rtnl import EVERYTHING, NAMES, Rtnl

_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_TO_SERVER = [(0x28, 0, 0, 12), (0x15, 0, 5, 0x0800), (0x30, 0, 0, 23), (0x15, 0, 3, 17),
              (0x28, 0, 0, 36), (0x15, 0, 1, 67), (0x06, 0, 0, 0x40000), (0x06, 0, 0, 0)]  # fmt: skip
MESSAGES = {1: "DISCOVER", 3: "REQUEST", 4: "DECLINE", 7: "RELEASE", 8: "INFORM"}


class Writes:
    """Counts what anybody changes in a namespace, by what the kernel announces."""

    def __init__(self, ns: str) -> None:
        self._events = Rtnl(ns, EVERYTHING)

    def __enter__(self) -> "Writes":
        return self

    def __exit__(self, *_: object) -> None:
        self._events.socket.close()

    def count(self) -> Counter[str]:
        """Return the announced changes since the last call; what the kernel did by itself is left out.

        Links are announced by the kernel itself too (carrier, statistics), and with no sender.
        """
        return Counter(
            NAMES[kind] for kind, port, _body in self._events.events() if port or kind in (rtnl.NEWLINK, rtnl.DELLINK)
        )


class Wire:
    """Counts the DHCP messages that clients send, seen at the gateway."""

    def __init__(self, ns: str, link: str = "lan0") -> None:
        with inside(ns):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        program = array.array("B", b"".join(struct.pack("HBBI", *line) for line in _TO_SERVER))
        pointer = struct.pack("HL", len(_TO_SERVER), program.buffer_info()[0])
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
        with inside(ns):
            self._socket.bind((link, 3))
        self._socket.setblocking(False)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def count(self) -> Counter[str]:
        """Return the messages since the last call, by type."""
        return Counter(kind for kind, _mac in self.messages())

    def messages(self) -> list[tuple[str, str]]:
        """Return type and sender's MAC of each message since the last call."""
        found = []
        while True:
            try:
                data = self._socket.recv(2048)
            except BlockingIOError:
                return found
            at = data.find(b"\x35\x01", 42 + 240)
            found.append((MESSAGES.get(data[at + 2] if at > 0 else 0, "other"), data[70:76].hex(":")))
