"""Whether an address is local to this network namespace already, and on which link. Asks the kernel each time."""

import fcntl
import socket
import struct
from array import array
from ipaddress import IPv4Address
from typing import Final

_SIOCGIFCONF, _SIOCGIFADDR = 0x8912, 0x8915
_IFCONF: Final = struct.Struct("iP")
_IFREQ: Final = 40  # bytes: the label of an address, and a sockaddr
_MOST: Final = 65536  # addresses that are looked through
_LOOPBACK: Final = 127 << 24


def elsewhere(ip: int, link: str) -> str:
    """Return what of this host, beside *link*, has *ip*: a link, or a route of type local; empty if nothing has.

    Costs some microseconds while the answer is no, or *link* itself has the address.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if not _is_local(sock, ip) or _first_of(sock, link) == ip:
            return ""
        holders = [holder for holder, held in _all(sock) if held == ip]
    if not holders:
        return "a local route"
    return next((holder for holder in holders if holder != link), "")


def _is_local(sock: socket.socket, ip: int) -> bool:
    """Whether the kernel would deliver to itself: it picks the address itself as the source then, or one of loopback.

    Nothing is sent: that is what ``connect`` does with a datagram socket.
    """
    try:
        sock.connect((str(IPv4Address(ip)), 9))
    except OSError:  # no route; a broadcast address
        return False
    source = int(IPv4Address(sock.getsockname()[0]))
    return source == ip or source >> 24 == _LOOPBACK >> 24


def _first_of(sock: socket.socket, link: str) -> int:
    try:
        answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("16s24x", link.encode()[:15]))
    except OSError:
        return 0
    return int.from_bytes(answer[20:24], "big")


def _all(sock: socket.socket) -> list[tuple[str, int]]:
    """Return link and address, of every IPv4 address."""
    size = _IFREQ * min(_MOST, _count(sock) + 16)
    found = array("B", bytes(size))
    filled, _ = _IFCONF.unpack(fcntl.ioctl(sock, _SIOCGIFCONF, _IFCONF.pack(size, found.buffer_info()[0])))
    data = found.tobytes()[:filled]
    return [
        (data[at : at + 16].partition(b"\0")[0].decode(errors="replace").partition(":")[0], _ip(data, at))
        for at in range(0, filled, _IFREQ)
    ]


def _count(sock: socket.socket) -> int:
    needed, _ = _IFCONF.unpack(fcntl.ioctl(sock, _SIOCGIFCONF, _IFCONF.pack(0, 0)))
    return int(needed) // _IFREQ


def _ip(data: bytes, at: int) -> int:
    return int.from_bytes(data[at + 20 : at + 24], "big")
