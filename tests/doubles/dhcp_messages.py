"""Answers of a server, built by other means than the code under test."""

import struct
from ipaddress import IPv4Address

MAC = bytes.fromhex("024e00000001")
SERVER_MAC = bytes.fromhex("0253000000ff")  # none of our links has it
SERVER = int(IPv4Address("10.77.0.1"))
IP = int(IPv4Address("10.77.1.5"))


def tlv(code, value):
    return bytes((code, len(value))) + value


def address(text):
    return IPv4Address(text).packed


def standard(kind, **changes):
    """Return the options of a usual answer; ``o51=None`` leaves one out, ``o51=b"…"`` changes it."""
    options = {
        53: bytes((kind,)),
        54: address("10.77.0.1"),
        51: (3600).to_bytes(4, "big"),
        1: address("255.255.0.0"),
        3: address("10.77.0.1"),
    }
    options |= {int(name[1:]): value for name, value in changes.items()}
    return b"".join(tlv(code, value) for code, value in options.items() if value is not None)


def message(options, *, xid=1, ip=IP, mac=MAC, op=2, htype=1, hlen=6, magic=b"\x63\x82\x53\x63", sname=b"", file=b""):
    head = struct.pack("!BBBBIHHIIII", op, htype, hlen, 0, xid, 0, 0, 0, ip, 0, 0)
    return head + mac.ljust(16, b"\0") + sname.ljust(64, b"\0") + file.ljust(128, b"\0") + magic + options


def answer(kind, *, xid=1, ip=IP, mac=MAC, **changes):
    return message(standard(kind, **changes) + b"\xff", xid=xid, ip=ip, mac=mac).ljust(300, b"\0")


def ones_complement(data):
    """The Internet checksum as RFC 1071 words it."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(payload, *, src=SERVER, dst=IP, sport=67, dport=68, checksum=None, ihl=5, fragment=0, protocol=17):
    """Return a whole frame from the server; *checksum* "none" and "partial" are what kernels leave."""
    length = len(payload) + 8
    pseudo = struct.pack("!IIBBH", src, dst, 0, 17, length)
    udp = struct.pack("!HHHH", sport, dport, length, 0) + payload
    if checksum == "none":
        value = 0
    elif checksum == "partial":
        value = ~ones_complement(pseudo) & 0xFFFF
    else:
        value = checksum if checksum is not None else ones_complement(pseudo + udp) or 0xFFFF
    udp = udp[:6] + struct.pack("!H", value) + udp[8:]
    options = b"\x01" * (4 * ihl - 20)
    head = struct.pack("!BBHHHBBHII", 0x40 | ihl, 0, 4 * ihl + length, 0, fragment, 64, protocol, 0, src, dst)
    head += options
    head = head[:10] + struct.pack("!H", ones_complement(head)) + head[12:]
    return MAC + SERVER_MAC + b"\x08\x00" + head + udp
