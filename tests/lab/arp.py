"""A host that answers ARP as a test says, on a real link."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address

from tests.lab.netns import inside

ETH_P_ARP = 0x0806
_ARP = struct.Struct("!6s6sH HHBBH 6s4s6s4s")
_BROADCAST = b"\xff" * 6


class ArpHost:
    """Answers each question for an address of which *has* is true, in the name of *mac*, after *delay_s*."""

    def __init__(
        self, ns: str, link: str, mac: str, has: Callable[[IPv4Address], bool] = lambda ip: False, delay_s: float = 0.0
    ) -> None:
        self.mac, self.has, self.delay_s = bytes.fromhex(mac.replace(":", "")), has, delay_s
        self.asked: list[IPv4Address] = []
        with inside(ns):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((link, ETH_P_ARP))
        self._socket.settimeout(0.05)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "ArpHost":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(5)
        self._socket.close()

    def announce(self, ip: str) -> None:
        """Tell everybody that *ip* is here."""
        packed = IPv4Address(ip).packed
        self._send(_BROADCAST, 1, packed, bytes(6), packed)

    def _serve(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                frame = self._socket.recv(2048)
                *_, op, mac, ip, _target_mac, target = _ARP.unpack_from(frame)
                wanted = IPv4Address(target)
                if op == 1 and mac != self.mac and ip != target:
                    self.asked.append(wanted)
                    if self.has(wanted):
                        time.sleep(self.delay_s)
                        self._send(mac, 2, target, mac, ip)

    def _send(self, to: bytes, op: int, ip: bytes, target_mac: bytes, target: bytes) -> None:
        head = (to, self.mac, ETH_P_ARP, 1, 0x0800, 6, 4, op)
        self._socket.send(_ARP.pack(*head, self.mac, ip, target_mac, target))
