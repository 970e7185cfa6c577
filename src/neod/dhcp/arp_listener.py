"""ARP of one parent: all of it for some seconds after a question, later only what names our own addresses.

While addresses are guarded the socket stays, and the kernel drops the ARP of others; without any it is closed.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from neod.dhcp.rawsocket import ARP_FILTER, DRAIN, Packets, PacketSocket, arp_about

LINGER_S: Final = 3.0  # how long everything is heard after a question


class ArpListener:
    """Sends and hears ARP on the link that has the parent's name; without a socket nothing is heard or sent."""

    def __init__(self, parent: str, packets: Packets, take: Callable[[bytes], None], turn: Callable[[], None]) -> None:
        self._parent, self._packets, self._take, self._turn = parent, packets, take, turn
        self._socket: PacketSocket | None = None
        self._wide_until = 0.0
        self._filtered: frozenset[int] | None = None  # what the kernel lets through; None: everything

    @property
    def mac(self) -> bytes:
        """The parent's own MAC, while the socket is open."""
        return self._socket.mac if self._socket else b""

    def ask(self, frame: bytes, now: float) -> bool:
        """Send *frame* and hear all that is said in the next seconds; return whether it was sent."""
        self._wide_until = now + LINGER_S
        if self._socket is None:
            with suppress(OSError):
                self._open()
        else:
            self._widen()
        return self.send(frame)

    def send(self, frame: bytes) -> bool:
        """Send *frame*; return whether the kernel took it."""
        try:
            if self._socket is not None:
                self._socket.send(frame)
        except OSError:
            return False
        return self._socket is not None

    def check(self, guarded: Collection[int], now: float) -> None:
        """Hear what names *guarded* on the link that has the parent's name now; nothing, if that is empty."""
        sock = self._socket
        if sock is not None and not self._packets.is_on(sock, self._parent):
            self.close()
        if now < self._wide_until:
            return
        if not guarded:
            self.close()
            return
        with suppress(OSError):
            if self._socket is None:
                self._open()
            self._narrow(frozenset(guarded))

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        self._socket = None

    def _open(self) -> None:
        self._socket, self._filtered = self._packets.open_arp(self._parent), None
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._on_arp)

    def _widen(self) -> None:
        if self._socket is not None and self._filtered is not None:
            self._socket.let_through(ARP_FILTER)
            self._filtered = None

    def _narrow(self, ips: frozenset[int]) -> None:
        if self._socket is not None and ips != self._filtered:
            self._widen()  # the old filter and the new one together may be more than net.core.optmem_max
            self._socket.let_through(arp_about(sorted(ips)))
            self._filtered = ips

    def _on_arp(self) -> None:
        if self._socket is None:
            return
        try:
            for frame in self._socket.frames(DRAIN):
                self._take(frame)
        except OSError:
            self._wide_until = 0.0  # the link went down or away: the next check sees which
        self._turn()
