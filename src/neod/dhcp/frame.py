"""Ethernet, IPv4, UDP and ARP around DHCP: built and taken apart, with checksums. Pure.

Checksums use that the one's complement sum of 16-bit words is the number they spell,
modulo 65535 (2**16 is 1 there): one big-integer division instead of a loop.
"""

import struct
from typing import Final, NamedTuple

CLIENT_PORT: Final = 68
SERVER_PORT: Final = 67
BROADCAST_MAC: Final = b"\xff" * 6
BROADCAST_IP: Final = 0xFFFFFFFF
CHADDR_AFTER_IP: Final = 14 + 8 + 28  # bytes from the frame's start to chaddr, the IP header left out
XID_TO_CHADDR: Final = 24  # bytes from xid to chaddr
_ARP_REQUEST: Final = 1

_HEADERS = struct.Struct("!6s6sH BBHHHBBHII HHHH")
_ADDRESSES = struct.Struct("!II")
_LENGTHS = struct.Struct("!HHHBB")  # total length, id, fragment, ttl, protocol: from offset 16
_UDP = struct.Struct("!4H")
_ARP = struct.Struct("!6s6sHHHBBH6sI6sI")
_ARP_KIND: Final = (0x0806, 1, 0x0800, 6, 4)
_SHORTEST: Final = 14 + 20 + 8


class Arp(NamedTuple):
    """What one ARP packet says: *ip* (0 in a probe) is at *mac*; *target* is asked for or answered."""

    mac: bytes
    ip: int
    target_mac: bytes
    target: int


def udp_frame(dst_mac: bytes, src_mac: bytes, src_ip: int, dst_ip: int, payload: bytes) -> bytes:
    """Return the whole frame of a datagram from port 68 to port 67."""
    length = len(payload) + 8
    ends = (src_ip >> 16) + (src_ip & 0xFFFF) + (dst_ip >> 16) + (dst_ip & 0xFFFF)
    # The header's constant words: 4500, 4000 (do not fragment), 4011 (ttl 64, UDP).
    ip_sum = (0x4500 + 0x4000 + 0x4011 + length + 20 + ends) % 0xFFFF
    odd = len(payload) & 1
    words = int.from_bytes(payload, "big") << (8 if odd else 0)
    udp_sum = (words + ends + 17 + 2 * length + CLIENT_PORT + SERVER_PORT) % 0xFFFF
    headers = _HEADERS.pack(
        *(dst_mac, src_mac, 0x0800),
        *(0x45, 0, length + 20, 0, 0x4000, 64, 17, (0xFFFF - ip_sum) % 0xFFFF, src_ip, dst_ip),
        *(CLIENT_PORT, SERVER_PORT, length, 0xFFFF - udp_sum),
    )
    return headers + payload


def dhcp_at(frame: bytes) -> tuple[int, int] | None:
    """Return where the payload of an intact datagram to port 68 begins and ends, None for anything else.

    A UDP checksum that is just the sum over addresses, protocol and length (not
    complemented) is intact too: so the kernel leaves it for the network card when both ends are
    on one machine (CHECKSUM_PARTIAL; PACKET_AUXDATA would say TP_STATUS_CSUMNOTREADY).
    It is as unlikely to meet by chance as a right checksum, and needs no ancillary data.
    """
    if len(frame) < _SHORTEST or frame[14] >> 4 != 4:
        return None
    udp_at = 14 + ((frame[14] & 15) << 2)
    total, _, fragment, _, protocol = _LENGTHS.unpack_from(frame, 16)
    end = 14 + total
    if udp_at < 34 or end > len(frame) or udp_at + 8 > end or fragment & 0x3FFF or protocol != 17:
        return None
    if int.from_bytes(frame[14:udp_at], "big") % 0xFFFF:
        return None
    _, port, length, checksum = _UDP.unpack_from(frame, udp_at)
    end = udp_at + length
    if port != CLIENT_PORT or length < 8 or end > 14 + total:
        return None
    if checksum and not _intact(frame, udp_at, end, checksum):
        return None
    return udp_at + 8, end


def _intact(frame: bytes, udp_at: int, end: int, checksum: int) -> bool:
    pseudo = int.from_bytes(frame[26:34], "big") + 17 + end - udp_at
    datagram = int.from_bytes(frame[udp_at:end], "big") << ((end - udp_at & 1) << 3)
    return not (pseudo + datagram) % 0xFFFF or checksum % 0xFFFF == pseudo % 0xFFFF


def arp_probe(mac: bytes, ip: int) -> bytes:
    """Return the question whether somebody has *ip*, which claims no address itself (RFC 5227)."""
    return arp_request(mac, 0, ip)


def arp_announcement(mac: bytes, ip: int) -> bytes:
    """Return the statement that *ip* is at *mac* from now on."""
    return arp_request(mac, ip, ip)


def arp_request(mac: bytes, ip: int, target: int) -> bytes:
    """Return the broadcast question, in the name of *ip*, for the MAC of *target*."""
    return _ARP.pack(BROADCAST_MAC, mac, *_ARP_KIND, _ARP_REQUEST, mac, ip, bytes(6), target)


def parse_arp(frame: bytes) -> Arp | None:
    """Return what an ARP frame says; None for what is no ARP of IPv4 over Ethernet.

    A probe sent to one MAC is None too: switches that track devices ask each host so for
    its own address (Cisco's IP device tracking), and claim nothing.
    """
    if len(frame) < _ARP.size:
        return None
    dst, _, ethertype, hardware, protocol, hlen, plen, op, mac, ip, target_mac, target = _ARP.unpack_from(frame)
    if (ethertype, hardware, protocol, hlen, plen) != _ARP_KIND or op not in (1, 2):
        return None
    if not ip and dst != BROADCAST_MAC:
        return None
    return Arp(mac, ip, target_mac, target)
