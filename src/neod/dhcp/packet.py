"""DHCPv4 messages as bytes: a decoder of replies and an encoder of requests. Pure.

An answer is taken for what is usable in it. What a lease cannot do without (message type, address, server, time) makes
it unusable where it is malformed; any other malformed option is as if it were not there, and named.

Not here: the Ethernet, IP and UDP headers around them (``frame``), and what the values mean
for a host (``lease_from_ack``).

Source: RFC 2131, RFC 2132, RFC 3396 (split options), RFC 3442 (option 121).
"""

import re
import struct
from collections.abc import Callable, Mapping
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
_NEEDED: Final = {OFFER: (SERVER, LEASE_TIME), ACK: (LEASE_TIME,), NAK: (SERVER,)}
"""What must not be malformed. An ACK without a server identifier is that of the server that was asked."""

# 1472 + 28 bytes of IP and UDP fill an Ethernet frame. 121 comes before 3, as RFC 3442 asks.
_ASKED: Final = bytes((MAX_SIZE, 2)) + (1472).to_bytes(2, "big")
_PARAMETERS: Final = bytes((MASK, ROUTES, ROUTER, DNS, DOMAIN, MTU, BROADCAST, LEASE_TIME, SERVER, T1, T2))
_ASKED_ALL: Final = _ASKED + bytes((WANTED, len(_PARAMETERS))) + _PARAMETERS
_FULL: Final = frozenset((DISCOVER, REQUEST))

_CHECKED: Final = frozenset((*_EXACT, *_ADDRESS_LISTS, CLIENT_ID, DOMAIN, ROUTES))
_HOST_TEXT = re.compile(rb"[A-Za-z0-9.-]{1,253}")
_PLAIN_TEXT = re.compile(rb"[ -~]{1,253}")


class Malformed(NeoError):
    """The bytes are no DHCP reply that a lease could come of; the whole packet is dropped."""


class Reply(NamedTuple):
    """One OFFER, ACK or NAK. Addresses are integers; a tuple, because it is made per packet."""

    type: int
    xid: int
    chaddr: bytes
    yiaddr: int  # 0 in a NAK
    server: int  # option 54; 0 in an ACK that does not say it
    options: Mapping[int, bytes]  # those that are well-formed
    malformed: Mapping[int, str]  # why each of the others is not

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
        return self.options.get(DOMAIN, b"").rstrip(b"\0").decode("ascii")

    def text(self) -> str:
        """Return option 56, the server's words in a NAK, if it is printable ASCII, else nothing."""
        value = self.options.get(TEXT, b"").rstrip(b"\0")
        return value.decode("ascii") if _PLAIN_TEXT.fullmatch(value) else ""

    def routes(self) -> tuple[tuple[str, IPv4Address], ...]:
        """Return option 121 as (destination in CIDR form, gateway)."""
        return classless_routes(self.options[ROUTES]) if ROUTES in self.options else ()


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
        Malformed: it is none that a lease could come of; nothing else is ever raised.
    """
    if len(data) < _SHORTEST:
        raise Malformed("too short")
    op, htype, hlen, xid, yiaddr, chaddr = _REPLY.unpack_from(data)
    if op != 2 or htype != 1 or hlen != 6:
        raise Malformed("not a reply to an Ethernet client")
    if data[_COOKIE:_OPTIONS] != _MAGIC:
        raise Malformed("no magic cookie")
    options, malformed = _options(data)
    kind = options.get(TYPE, b"\0")[0]
    if kind not in _NEEDED:
        raise Malformed(_what_is_wrong(TYPE, options, malformed) or "not an OFFER, ACK or NAK")
    for code in _NEEDED[kind]:
        if (wrong := _what_is_wrong(code, options, malformed)) and (code in malformed or code == SERVER):
            raise Malformed(f"{NAMES[kind].upper()} with {wrong}")
    if kind != NAK and not is_host(yiaddr):
        raise Malformed(f"{NAMES[kind].upper()} of {IPv4Address(yiaddr)}, which no host can have")
    identity = options.get(CLIENT_ID)
    if identity is not None and identity != b"\x01" + chaddr:
        raise Malformed(f"{NAMES[kind].upper()} with the client identifier of another")  # RFC 6842
    return Reply(kind, xid, chaddr, yiaddr, int.from_bytes(options.get(SERVER, b""), "big"), options, malformed)


def _what_is_wrong(code: int, options: Mapping[int, bytes], malformed: Mapping[int, str]) -> str:
    if code in options:
        return ""
    return f"option {code} of {malformed[code]}" if code in malformed else f"no option {code}"


def _options(data: bytes) -> tuple[dict[int, bytes], dict[int, str]]:
    """Return the well-formed options, and why the others are malformed."""
    options: dict[int, bytes] = {}
    malformed: dict[int, str] = {}
    _collect(data, _OPTIONS, len(data), options, malformed)
    where = options.get(OVERLOAD, b"\0")
    if where in (b"\x01", b"\x03"):  # first ``file``, then ``sname``: RFC 3396
        _collect(data, _FILE, _COOKIE, options, malformed)
    if where in (b"\x02", b"\x03"):
        _collect(data, _SNAME, _FILE, options, malformed)
    for code in _CHECKED.intersection(options):
        if wrong := _malformed(code, options[code]):
            malformed[code] = wrong
    for code in malformed:
        options.pop(code, None)
    return options, malformed


def _collect(data: bytes, at: int, end: int, into: dict[int, bytes], malformed: dict[int, str]) -> None:
    """Add the options between two offsets; an option that comes again is appended (RFC 3396).

    One of a fixed size is not once it is whole: what follows a wrong length is read as options that nobody sent.
    """
    while at < end:
        code = data[at]
        if code == _PAD:
            at += 1
            continue
        if code == _END:
            return
        at += 2
        stop = at + data[at - 1] if at <= end else end + 1
        known = into.get(code, b"")
        if not known or len(known) != _EXACT.get(code):
            if stop > end:
                malformed[code] = "more bytes than the message has"
            else:
                into[code] = known + data[at:stop]
        at = stop


def _malformed(code: int, value: bytes) -> str:
    """Return why an option that we know cannot be read; empty if it can."""
    size = len(value)
    if code in _EXACT and size != _EXACT[code]:
        return f"{size} bytes, not {_EXACT[code]}"
    if code in _ADDRESS_LISTS and (not size or size % 4):
        return f"{size} bytes, which are no addresses"
    check = _CHECKS.get(code)
    return check(value) if check else ""


def is_host(address: int) -> bool:
    """Whether a host can have *address*: not 0/8, 127/8, multicast, reserved or broadcast."""
    return 0x01000000 <= address < 0xE0000000 and address >> 24 != 127


def classless_routes(value: bytes) -> tuple[tuple[str, IPv4Address], ...]:
    """Return the routes of option 121.

    Raises:
        Malformed: none, a prefix over 32 bits, or the last route is cut off.

    Source: RFC 3442.
    """
    routes, at = [], 0
    while at < len(value):
        prefix_length = value[at]
        significant = (prefix_length + 7) // 8
        gateway_at = at + 1 + significant
        if prefix_length > 32 or gateway_at + 4 > len(value):
            raise Malformed("routes of which one is cut off or has more than 32 bits")
        network = int.from_bytes(value[at + 1 : gateway_at].ljust(4, b"\0"), "big")
        network &= 0xFFFFFFFF << (32 - prefix_length) & 0xFFFFFFFF
        destination = f"{IPv4Address(network)}/{prefix_length}"
        routes.append((destination, IPv4Address(value[gateway_at : gateway_at + 4])))
        at = gateway_at + 4
    if not routes:
        raise Malformed("no route")
    return tuple(routes)


def _bad_routes(value: bytes) -> str:
    try:
        classless_routes(value)
    except Malformed as exc:
        return str(exc)
    return ""


_CHECKS: Final[Mapping[int, Callable[[bytes], str]]] = {
    SERVER: lambda value: "" if any(value) and value != b"\xff\xff\xff\xff" else str(IPv4Address(value)),
    OVERLOAD: lambda value: "" if 1 <= value[0] <= 3 else f"the value {value[0]}",
    CLIENT_ID: lambda value: "" if len(value) > 1 else f"{len(value)} bytes",
    DOMAIN: lambda value: "" if _HOST_TEXT.fullmatch(value.rstrip(b"\0")) else "text that is no domain",
    ROUTES: _bad_routes,
}
"""Beside the length: what is wrong with a value."""


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
