"""The sockets of the DHCP client: packets of one parent, ARP of one parent, and UDP port 68.

Effects only; every failure is an OSError.
"""

import socket
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from neod.dhcp import local_addresses

_ETH_P_IP, _ETH_P_ARP = 0x0800, 0x0806
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_ARPHRD_ETHER: Final = 1
_LARGEST: Final = 2048  # bytes; more than any answer to a client that allows 1500

DRAIN: Final = 256  # frames a turn of the loop; the rest waits for the next
RECEIVE_BUFFER_BYTES: Final = 4 << 20
"""Thousands of answers, or a tenth of a second of a flood, while the loop does something else."""

_PACKET_TYPE: Final = 0xFFFFF000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
_VLAN_PRESENT: Final = 0xFFFFF000 + 48  # SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT
_OTHER_HOST: Final = 3
_DROP: Final = (0x06, 0, 0, 0)
_KEEP: Final = (0x06, 0, 0, 0xFFFF)

# Classic BPF, (code, jump if true, jump if false, constant), on frames with their Ethernet header.
# "For another host" are frames that a switch floods, and also those of a VLAN that nobody here is on: the
# kernel (net/core/dev.c) marks these so and takes their tag away before a socket for one protocol
# sees them, so that the tag itself can only be tested on kernels before that change. What macvlan takes in
# for one of its links is "for this host" by then.
DHCP_FILTER: Final = (
    (0x20, 0, 0, _PACKET_TYPE),
    (0x15, 10, 0, _OTHER_HOST),
    (0x20, 0, 0, _VLAN_PRESENT),
    (0x15, 0, 8, 0),
    (0x30, 0, 0, 23),  # protocol
    (0x15, 0, 6, 17),  # UDP
    (0x28, 0, 0, 20),  # fragment: MF or an offset
    (0x45, 4, 0, 0x3FFF),
    (0xB1, 0, 0, 14),  # X = length of the IP header
    (0x48, 0, 0, 16),  # destination port
    (0x15, 0, 1, 68),
    _KEEP,
    _DROP,
)
ARP_FILTER: Final = (
    (0x20, 0, 0, _PACKET_TYPE),
    (0x15, 6, 0, _OTHER_HOST),
    (0x20, 0, 0, _VLAN_PRESENT),
    (0x15, 0, 4, 0),
    (0x20, 0, 0, 14),  # hardware and protocol type
    (0x15, 0, 2, 0x00010800),
    (0x28, 0, 0, 18),  # their lengths
    (0x15, 1, 0, 0x0604),
    _DROP,
    _KEEP,
)


MOST_NAMED: Final = 3900  # addresses in one filter; the kernel takes 4096 instructions
_NEAR: Final = 250  # how far a conditional jump reaches, nearly


def arp_about(ips: Sequence[int]) -> tuple[tuple[int, int, int, int], ...]:
    """Return the filter that keeps ARP whose sender has, or, without an address itself, asks for, one of *ips*."""
    program = [
        *ARP_FILTER[:-1],
        (0x20, 0, 0, 28),  # the sender's address
        (0x15, 0, 1, 0),
        (0x20, 0, 0, 38),  # the target's
    ]
    for at in range(0, min(len(ips), MOST_NAMED), _NEAR):
        block = ips[at : min(at + _NEAR, MOST_NAMED)]
        program += [(0x15, len(block) - index, 0, ip) for index, ip in enumerate(block)]
        program += [(0x05, 0, 0, 1), _KEEP]  # none of these: past "keep"
    return (*program, _DROP)


class PacketSocket:
    """Frames of one protocol on one link, sent and received without blocking."""

    def __init__(self, link: str, protocol: int, program: tuple[tuple[int, int, int, int], ...]) -> None:
        """Open it; what is received was let through by *program* from the first frame on.

        Raises:
            OSError: no such link (ENODEV), no permission, no descriptors left.
        """
        self.index = socket.if_nametoindex(link)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            _attach(self._socket, program)
            with suppress(PermissionError):
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
            self._socket.bind((link, protocol))
            _, _, _, hardware, mac = self._socket.getsockname()
        except OSError:
            self._socket.close()
            raise
        self.mac = mac if hardware == _ARPHRD_ETHER else b""
        self.fileno = self._socket.fileno
        self.close = self._socket.close

    def frames(self, most: int) -> Iterator[bytes]:
        """Yield up to *most* waiting frames.

        Raises:
            OSError: the link went down or away (ENETDOWN); what waits behind stays.
        """
        receive = self._socket.recv
        for _ in range(most):
            try:
                yield receive(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return

    def send(self, frame: bytes) -> None:
        """Send one whole frame.

        Raises:
            OSError: the link is down (ENETDOWN), away (ENXIO) or its queue full (ENOBUFS, EAGAIN).
        """
        self._socket.send(frame)

    def let_through(self, program: tuple[tuple[int, int, int, int], ...]) -> None:
        """Receive what *program* keeps, from the next frame on.

        Raises:
            OSError: the program is larger than net.core.optmem_max allows.
        """
        _attach(self._socket, program)

    def dropped(self) -> int:
        """Return how many frames did not fit into the buffer since the last call."""
        try:
            _, drops = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        except OSError:
            return 0
        return int(drops)


class Packets:
    """The sockets of this host's links: what the DHCP client needs of the outside, and all of it."""

    def open_dhcp(self, link: str) -> PacketSocket:
        """Open the socket that carries the DHCP of every client on *link*.

        Raises:
            OSError: there is no such link, no permission, or no descriptor left.
        """
        return PacketSocket(link, _ETH_P_IP, DHCP_FILTER)

    def open_arp(self, link: str) -> PacketSocket:
        """Open the socket that hears who claims addresses on *link*.

        Raises:
            OSError: there is no such link, no permission, or no descriptor left.
        """
        return PacketSocket(link, _ETH_P_ARP, ARP_FILTER)

    def open_port_68(self) -> socket.socket:
        """Occupy UDP port 68 without receiving.

        Raises:
            OSError: another program has the port for itself (EADDRINUSE).
        """
        return open_port_68()

    def index_of(self, link: str) -> int:
        """Return the index of *link*, 0 if there is none."""
        try:
            return socket.if_nametoindex(link)
        except OSError:
            return 0

    def name_of(self, index: int) -> str:
        """Return the name of the link with *index*, empty if there is none."""
        try:
            return socket.if_indextoname(index)
        except OSError:
            return ""

    def elsewhere(self, ip: int, link: str) -> str:
        """Return what of this host, beside *link*, has *ip*; empty if nothing has."""
        return local_addresses.elsewhere(ip, link)

    def is_on(self, sock: PacketSocket, link: str) -> bool:
        """Whether *sock* is on what *link* names now, or its own link was only renamed."""
        index = self.index_of(link)
        return index == sock.index or (not index and bool(self.name_of(sock.index)))


def open_port_68() -> socket.socket:
    """Occupy UDP port 68 without receiving: answers then provoke no ICMP "port unreachable".

    Raises:
        OSError: another program has the port for itself (EADDRINUSE).
    """
    placeholder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _attach(placeholder, (_DROP,))
        placeholder.bind(("0.0.0.0", 68))
    except OSError:
        placeholder.close()
        raise
    return placeholder


class Port68:
    """UDP port 68, occupied while there are clients, so that answers provoke no ICMP "port unreachable"."""

    def __init__(self, packets: Packets) -> None:
        self.problem, self._packets = "", packets
        self._socket: socket.socket | None = None

    def hold(self) -> None:
        """Occupy the port unless that is done; say in ``problem`` why it cannot be."""
        if self._socket is not None:
            return
        try:
            self._socket = self._packets.open_port_68()
        except OSError as exc:
            self.problem = f"UDP port 68: {exc.strerror or exc}"
        else:
            self.problem = ""

    def close(self) -> None:
        """Close the socket that occupies the port."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _attach(sock: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    """Let the kernel drop what *program* rejects."""
    code = array("B", b"".join(struct.pack("HBBI", *instruction) for instruction in program))
    address, _ = code.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), address))
