"""DHCPv4 messages as bytes: a strict decoder of replies and an encoder of requests. Pure.

Not here: the Ethernet, IP and UDP headers around them (``frame``), and what the values mean
for a host (``lease_from_ack``).

Source: RFC 2131, RFC 2132, RFC 3396 (split options), RFC 3442 (option 121).
"""

import re
import struct
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Final, NamedTuple

from neod.model.errors import NeoError

DISCOVER: Final = 1
OFFER: Final = 2
REQUEST: Final = 3
DECLINE: Final = 4
ACK: Final = 5
NAK: Final = 6
RELEASE: Final = 7
NAMES: Final = {1: "discover", 2: "offer", 3: "request", 4: "decline", 5: "ack", 6: "nak", 7: "release"}

MASK, ROUTER, DNS, HOST_NAME, DOMAIN, MTU, BROADCAST = 1, 3, 6, 12, 15, 26, 28
REQUESTED, LEASE_TIME, OVERLOAD, TYPE, SERVER, WANTED, TEXT, MAX_SIZE = 50, 51, 52, 53, 54, 55, 56, 57
T1, T2, CLIENT_ID, ROUTES = 58, 59, 61, 121

_PAD, _END = 0, 255
_MAGIC: Final = b"\x63\x82\x53\x63"
_SNAME, _FILE, _COOKIE, _OPTIONS = 44, 108, 236, 240  # offsets in a message
_SHORTEST: Final = _OPTIONS + 3  # a message has at least its type
_MIN_SENT: Final = 300  # bytes; the size of a BOOTP message, below which some relays drop
_BROADCAST_FLAG: Final = 0x8000

_REPLY = struct.Struct("!3BxI8xI8x6s")  # op htype hlen | xid | yiaddr | chaddr
_REQUEST = struct.Struct("!4BIHHI12x6s202x4s")  # … chaddr, then sname and file empty, magic

_EXACT: Final = {MASK: 4, MTU: 2, BROADCAST: 4, REQUESTED: 4, LEASE_TIME: 4, OVERLOAD: 1, TYPE: 1, SERVER: 4} | {
    MAX_SIZE: 2,
    T1: 4,
    T2: 4,
}
_ADDRESS_LISTS: Final = (ROUTER, DNS)
_REPLIES: Final = frozenset((OFFER, ACK, NAK))

# 1472 + 28 bytes of IP and UDP fill an Ethernet frame. 121 comes before 3, as RFC 3442 asks.
_ASKED: Final = bytes((MAX_SIZE, 2)) + (1472).to_bytes(2, "big")
_PARAMETERS: Final = bytes((MASK, ROUTES, ROUTER, DNS, DOMAIN, MTU, BROADCAST, LEASE_TIME, SERVER, T1, T2))
_ASKED_ALL: Final = _ASKED + bytes((WANTED, len(_PARAMETERS))) + _PARAMETERS
_FULL: Final = frozenset((DISCOVER, REQUEST))

_HOST_TEXT = re.compile(rb"[A-Za-z0-9.-]{1,253}")
_PLAIN_TEXT = re.compile(rb"[ -~]{1,253}")


class Malformed(NeoError):
    """The bytes are no DHCP reply; the whole packet is dropped."""


class Reply(NamedTuple):
    """One well-formed OFFER, ACK or NAK. Addresses are integers; a tuple, because it is made per packet."""

    type: int
    xid: int
    chaddr: bytes
    yiaddr: int  # 0 in a NAK
    server: int  # option 54
    options: Mapping[int, bytes]

    def number(self, code: int) -> int | None:
        """Return a numeric option, None where the server left it out."""
        value = self.options.get(code)
        return None if value is None else int.from_bytes(value, "big")

    def addresses(self, code: int) -> tuple[IPv4Address, ...]:
        """Return an option that lists addresses; empty where the server left it out."""
        value = self.options.get(code, b"")
        return tuple(IPv4Address(value[at : at + 4]) for at in range(0, len(value), 4))

    def domain(self) -> str:
        """Return option 15 if it is a host name, else nothing: it ends up in logs and files."""
        value = self.options.get(DOMAIN, b"").rstrip(b"\0")
        return value.decode("ascii") if _HOST_TEXT.fullmatch(value) else ""

    def text(self) -> str:
        """Return option 56, the server's words in a NAK, if it is printable ASCII, else nothing."""
        value = self.options.get(TEXT, b"").rstrip(b"\0")
        return value.decode("ascii") if _PLAIN_TEXT.fullmatch(value) else ""

    def routes(self) -> tuple[tuple[str, IPv4Address], ...]:
        """Return option 121 as (destination in CIDR form, gateway)."""
        return classless_routes(self.options.get(ROUTES, b""))


class Request(NamedTuple):
    """One message to send; what is 0 is left out."""

    type: int
    xid: int
    secs: int = 0
    ciaddr: int = 0
    requested: int = 0  # option 50
    server: int = 0  # option 54
    broadcast: bool = False  # ask for a broadcast answer


def decode(data: bytes) -> Reply:
    """Return the DHCP reply that *data*, the payload of a datagram, is.

    Raises:
        Malformed: it is not one, in any way; nothing else is ever raised.
    """
    if len(data) < _SHORTEST:
        raise Malformed("too short")
    op, htype, hlen, xid, yiaddr, chaddr = _REPLY.unpack_from(data)
    if op != 2 or htype != 1 or hlen != 6:
        raise Malformed("not a reply to an Ethernet client")
    if data[_COOKIE:_OPTIONS] != _MAGIC:
        raise Malformed("no magic cookie")
    options: dict[int, bytes] = {}
    _collect(data, _OPTIONS, len(data), options)
    if OVERLOAD in options:
        _collect_overloaded(data, options)
    _check_sizes(options)
    kind = options[TYPE][0]
    if kind not in _REPLIES:
        raise Malformed("not an OFFER, ACK or NAK")
    if kind != NAK and not _usable(yiaddr):
        raise Malformed("no usable address")
    identity = options.get(CLIENT_ID)
    if identity is not None and identity != b"\x01" + chaddr:
        raise Malformed("client identifier of another")  # RFC 6842
    return Reply(kind, xid, chaddr, yiaddr, int.from_bytes(options[SERVER], "big"), options)


def _collect(data: bytes, at: int, end: int, into: dict[int, bytes]) -> None:
    """Add the options between two offsets; an option that comes again is appended (RFC 3396)."""
    while at < end:
        code = data[at]
        if code == _PAD:
            at += 1
            continue
        if code == _END:
            return
        at += 2
        if at > end:
            raise Malformed("option without a length")
        stop = at + data[at - 1]
        if stop > end:
            raise Malformed("option longer than the message")
        into[code] = into[code] + data[at:stop] if code in into else data[at:stop]
        at = stop


def _collect_overloaded(data: bytes, options: dict[int, bytes]) -> None:
    """Read the options that spilled into ``file`` (1), ``sname`` (2) or both (3), in that order."""
    where = options[OVERLOAD]
    if where not in (b"\x01", b"\x02", b"\x03"):
        raise Malformed("bad overload")
    if where[0] & 1:
        _collect(data, _FILE, _COOKIE, options)
    if where[0] & 2:
        _collect(data, _SNAME, _FILE, options)


def _check_sizes(options: Mapping[int, bytes]) -> None:
    """Reject the message if an option we know has an impossible length."""
    if TYPE not in options or SERVER not in options:
        raise Malformed("no message type or no server identifier")
    for code, value in options.items():
        size = len(value)
        if code in _EXACT:
            if size != _EXACT[code]:
                raise Malformed("option of a wrong length")
        elif code in _ADDRESS_LISTS:
            if not size or size % 4:
                raise Malformed("address list of a wrong length")
        elif code == ROUTES:
            classless_routes(value)
    if options[SERVER] in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        raise Malformed("no server identifier")


def _usable(address: int) -> bool:
    """Whether a host can have *address*: not 0/8, 127/8, multicast, reserved or broadcast."""
    return 0x01000000 <= address < 0xE0000000 and address >> 24 != 127


def classless_routes(value: bytes) -> tuple[tuple[str, IPv4Address], ...]:
    """Return the routes of option 121.

    Raises:
        Malformed: a prefix over 32 bits, or the last route is cut off.

    Source: RFC 3442.
    """
    routes, at = [], 0
    while at < len(value):
        prefix_length = value[at]
        significant = (prefix_length + 7) // 8
        gateway_at = at + 1 + significant
        if prefix_length > 32 or gateway_at + 4 > len(value):
            raise Malformed("bad classless route")
        network = int.from_bytes(value[at + 1 : gateway_at].ljust(4, b"\0"), "big")
        network &= 0xFFFFFFFF << (32 - prefix_length) & 0xFFFFFFFF
        destination = f"{IPv4Address(network)}/{prefix_length}"
        routes.append((destination, IPv4Address(value[gateway_at : gateway_at + 4])))
        at = gateway_at + 4
    return tuple(routes)


def encode(request: Request, mac: bytes) -> bytes:
    """Return *request* of the client with *mac*, padded to the size of a BOOTP message.

    The client identifier is 01 and the MAC: macvlans have no better identity, and a
    server keeps them apart by it. No host name and no vendor class are sent.
    """
    kind, xid, secs, ciaddr, requested, server, broadcast = request
    flags = _BROADCAST_FLAG if broadcast else 0
    head = _REQUEST.pack(1, 1, 6, 0, xid, min(secs, 0xFFFF), flags, ciaddr, mac, _MAGIC)
    options = b"\x35\x01%c\x3d\x07\x01%b" % (kind, mac)
    if requested:
        options += b"\x32\x04" + requested.to_bytes(4, "big")
    if server:
        options += b"\x36\x04" + server.to_bytes(4, "big")
    if kind in _FULL:
        options += _ASKED_ALL
    return (head + options + b"\xff").ljust(_MIN_SENT, b"\0")
