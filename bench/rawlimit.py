"""The raw limit: the least a Python program can do to bring N macvlans with leases to life.

Run inside the host's namespace: ``python -I -S rawlimit.py PARENT N TABLE_BASE``. It
decides nothing, watches nothing, recovers from nothing: netlink messages
packed with struct and sent in batches, and DHCP for all macvlans through one
raw socket on the parent with at most 64 exchanges in flight. What neod takes
beyond this is the price of being a daemon.
"""

import array
import os
import select
import socket
import struct
import sys

IN_FLIGHT = 64
BATCH = 128
MARK = 110
RULE_PRIORITY = 11000
RETRY_S = 1.0

NLMSG = struct.Struct("=IHHII")
ATTR = struct.Struct("=HH")
BOOTP = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
COOKIE = b"\x63\x82\x53\x63"
WANT_OPTIONS = bytes([55, 8, 1, 3, 6, 12, 15, 26, 51, 121])

SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
ETH_P_ALL = 3

# IPv4, not a fragment, UDP to port 68
REPLIES = [
    (0x28, 0, 0, 12),
    (0x15, 0, 7, 0x0800),
    (0x30, 0, 0, 23),
    (0x15, 0, 5, 17),
    (0x28, 0, 0, 20),
    (0x45, 3, 0, 0x1FFF),
    (0x28, 0, 0, 36),
    (0x15, 0, 1, 68),
    (0x06, 0, 0, 0x40000),
    (0x06, 0, 0, 0),
]


def attr(kind: int, data: bytes) -> bytes:
    """Pack one netlink attribute."""
    return ATTR.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


class Kernel:
    """Sends requests in batches; any refusal ends the program."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.socket.bind((0, 0))
        self._queue: list[bytes] = []

    def add(self, kind: int, payload: bytes) -> None:
        """Queue a create request."""
        self._queue.append(NLMSG.pack(16 + len(payload), kind, 0x605, len(self._queue), 0) + payload)
        if len(self._queue) == BATCH:
            self.flush()

    def flush(self) -> None:
        """Send what is queued and check every acknowledgement."""
        if not self._queue:
            return
        self.socket.send(b"".join(self._queue))
        left, self._queue = len(self._queue), []
        while left:
            data, at = self.socket.recv(1 << 18), 0
            while at < len(data):
                length, _kind, _flags, _seq, _port = NLMSG.unpack_from(data, at)
                if error := struct.unpack_from("=i", data, at + 16)[0]:
                    raise OSError(-error, os.strerror(-error))
                at += (length + 3) & ~3
                left -= 1


def mac_of(i: int) -> bytes:
    """Return the fixed, locally administered MAC of the i-th macvlan."""
    return b"\x02\x4e\x65\x6f" + struct.pack("!H", i)


def link(parent: int, i: int) -> bytes:
    """Pack the creation of a private macvlan that is up at once."""
    info = attr(1, b"macvlan") + attr(2, attr(1, struct.pack("=I", 1)))
    return (
        struct.pack("=BxHiII", 0, 0, 0, 1, 1)
        + attr(3, b"neo%d\0" % i)
        + attr(1, mac_of(i))
        + attr(5, struct.pack("=I", parent))
        + attr(27, struct.pack("=I", MARK))
        + attr(18, info)
    )


def path(kernel: Kernel, index: int, table: int, address: bytes, prefix: int, gateway: bytes) -> None:
    """Queue the address, the rule and both routes of one macvlan."""
    noprefixroute = struct.pack("=I", 0x200)
    kernel.add(20, struct.pack("=BBBBI", 2, prefix, 0, 0, index)
               + attr(2, address) + attr(1, address) + attr(8, noprefixroute) + attr(11, bytes([MARK])))  # fmt: skip
    number = attr(15, struct.pack("=I", table))
    kernel.add(32, struct.pack("=BBBBBxxBI", 2, 0, 32, 0, 0, 1, 0)
               + attr(2, address) + number + attr(6, struct.pack("=I", RULE_PRIORITY + table))
               + attr(21, bytes([MARK])))  # fmt: skip
    subnet = (int.from_bytes(address, "big") & (0xFFFFFFFF << 32 - prefix) & 0xFFFFFFFF).to_bytes(4, "big")
    oif = attr(4, struct.pack("=I", index))
    kernel.add(24, struct.pack("=BBBBBBBBI", 2, prefix, 0, 0, 0, MARK, 253, 1, 0)
               + number + attr(1, subnet) + attr(7, address) + oif)  # fmt: skip
    kernel.add(24, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 0, MARK, 0, 1, 0) + number + attr(5, gateway) + oif)


def checksum(data: bytes) -> int:
    """Return the Internet checksum of an IPv4 header."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def frame(i: int, options: bytes) -> bytes:
    """Pack an Ethernet frame with a DHCP message of the i-th macvlan; the xid is its number."""
    mac = mac_of(i)
    bootp = BOOTP.pack(1, 1, 6, 0, i, 0, 0, b"", b"", b"", b"", mac, b"", b"") + COOKIE
    body = bootp + options + bytes([61, 7, 1]) + mac + WANT_OPTIONS + b"\xff"
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(body), 0, 0, 64, 17, 0, b"", b"\xff" * 4)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    udp = struct.pack("!HHHH", 68, 67, 8 + len(body), 0)
    return b"\xff" * 6 + mac + b"\x08\x00" + head + udp + body


def options_of(data: bytes) -> dict[int, bytes]:
    """Unpack the options of a reply that stands at byte 42 of a frame."""
    found, at = {}, 42 + 240
    while data[at] != 255:
        if data[at]:
            found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
            at += data[at + 1] + 1
        at += 1
    return found


def packet_socket(parent: str) -> socket.socket:
    """Open the one raw socket; it sees replies to every macvlan's MAC."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    program = b"".join(struct.pack("HBBI", *line) for line in REPLIES)
    buffer = array.array("B", program)  # its address is what the kernel wants, and ctypes takes 10 ms to import
    raw.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(REPLIES), buffer.buffer_info()[0]))
    raw.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    raw.bind((parent, ETH_P_ALL))
    raw.setblocking(False)
    return raw


def lease_all(parent: str, n: int, bound) -> None:  # type: ignore[no-untyped-def]
    """Lease an address for each macvlan; call *bound* with each as it comes."""
    raw = packet_socket(parent)
    waiting, in_flight = list(range(n, 0, -1)), {}
    while waiting or in_flight:
        while waiting and len(in_flight) < IN_FLIGHT:
            i = waiting.pop()
            in_flight[i] = frame(i, b"\x35\x01\x01")
            raw.send(in_flight[i])
        if not select.select([raw], [], [], RETRY_S)[0]:
            for message in in_flight.values():
                raw.send(message)
            continue
        for data in drain(raw):
            i = int.from_bytes(data[46:50], "big")
            if i not in in_flight or data[42] != 2 or data[70:76] != mac_of(i):
                continue
            options = options_of(data)
            if options[53] == b"\x02":
                in_flight[i] = frame(i, b"\x35\x01\x03\x32\x04" + data[58:62] + b"\x36\x04" + options[54])
                raw.send(in_flight[i])
            elif options[53] == b"\x06":  # dnsmasq offers one address to two clients that ask together
                in_flight[i] = frame(i, b"\x35\x01\x01")
                raw.send(in_flight[i])
            elif options[53] == b"\x05":
                del in_flight[i]
                bound(i, data[58:62], options)


def drain(raw: socket.socket):  # type: ignore[no-untyped-def]
    """Yield every frame that is queued now."""
    while True:
        try:
            yield raw.recv(2048)
        except BlockingIOError:
            return


def main() -> None:
    """Bring all to life and end."""
    parent, n, table_base = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    kernel = Kernel()
    index = socket.if_nametoindex(parent)
    for i in range(1, n + 1):
        kernel.add(16, link(index, i))
    kernel.flush()
    indexes = {name: number for number, name in socket.if_nameindex()}

    def bound(i: int, address: bytes, options: dict[int, bytes]) -> None:
        prefix = bin(int.from_bytes(options[1], "big")).count("1")
        path(kernel, indexes[f"neo{i}"], table_base + i, address, prefix, options[3][:4])

    lease_all(parent, n, bound)
    kernel.flush()


main()
