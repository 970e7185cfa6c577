"""The numbers of the kernel's MPTCP path manager, and its messages as values. Pure.

Requests and answers are netlink attributes; the adapters in ``kernel`` put
the generic header in front. Our own codec, for the same reason as ``wire``:
the general one takes half a second to import.

Source: linux/mptcp_pm.h, linux/mptcp.h, Documentation/netlink/specs/mptcp_pm.yaml.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from neod.wire import Ip, attr, attr_u32, attrs, family_of, ip, nest, u32

CMD_ADD_ADDR, CMD_DEL_ADDR, CMD_GET_ADDR, CMD_FLUSH_ADDRS = 1, 2, 3, 4
CMD_SET_LIMITS, CMD_GET_LIMITS, CMD_SET_FLAGS = 5, 6, 7
CMD_ANNOUNCE, CMD_REMOVE, CMD_SUBFLOW_CREATE, CMD_SUBFLOW_DESTROY = 8, 9, 10, 11
COMMANDS: Final = {
    1: "endpoint add",
    2: "endpoint delete",
    3: "endpoint show",
    5: "limits set",
    6: "limits show",
    7: "endpoint change",
    8: "announce",
    9: "remove",
    10: "subflow create",
    11: "subflow destroy",
}

ATTR_ADDR, ATTR_RCV_ADD_ADDRS, ATTR_SUBFLOWS, ATTR_TOKEN, ATTR_LOC_ID, ATTR_ADDR_REMOTE = 1, 2, 3, 4, 5, 6
ADDR_FAMILY, ADDR_ID, ADDR_ADDR4, ADDR_ADDR6, ADDR_PORT, ADDR_FLAGS, ADDR_IF_IDX = 1, 2, 3, 4, 5, 6, 7

FLAGS: Final = {"signal": 1, "subflow": 2, "backup": 4, "fullmesh": 8, "laminar": 32}
"""Bit 4, implicit, is the kernel's own: an endpoint it made for the source of a connection."""

IMPLICIT: Final = 16
IN_PLACE: Final = FLAGS["backup"] | FLAGS["fullmesh"]
"""What SET_FLAGS can change on a live endpoint. Source: net/mptcp/pm_kernel.c, mptcp_pm_nl_set_flags."""

LAMINAR_SINCE: Final = (6, 18)

MOST_ENDPOINTS: Final = 8
"""MPTCP_PM_ADDR_MAX: what the kernel's path manager holds. Source: net/mptcp/protocol.h."""

EVENT_CREATED, EVENT_ESTABLISHED, EVENT_CLOSED, EVENT_ANNOUNCED, EVENT_REMOVED = 1, 2, 3, 6, 7
EVENT_SUB_ESTABLISHED, EVENT_SUB_CLOSED = 10, 11
EV_TOKEN, EV_FAMILY, EV_LOC_ID, EV_REM_ID, EV_SADDR4, EV_SADDR6, EV_DADDR4, EV_DADDR6 = 1, 2, 3, 4, 5, 6, 7, 8
EV_SPORT, EV_DPORT, EV_BACKUP, EV_ERROR, EV_FLAGS, EV_IF_IDX, EV_RESET_REASON, EV_SERVER_SIDE = (
    9,
    10,
    11,
    12,
    13,
    15,
    16,
    18,
)
DENY_JOIN_ID0, SERVER_SIDE = 1, 2  # bits of EV_FLAGS; the second since 6.18

PORT: Final = Struct(">H")
U16: Final = Struct("=H")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the kernel's path manager, or one address in a command."""

    ip: Ip
    id: int = 0
    flags: int = 0
    index: int = 0  # of its device; 0: none
    port: int = 0


def address(type_: int, said: Endpoint, *, full: bool) -> bytes:
    """Return *said* as a nested attribute; without *full* only what names it."""
    v4 = said.ip.version == 4
    parts = [attr(ADDR_FAMILY, U16.pack(family_of(said.ip.version)))]
    parts.append(attr(ADDR_ADDR4 if v4 else ADDR_ADDR6, said.ip.packed))
    if said.id:
        parts.append(attr(ADDR_ID, bytes((said.id,))))
    if said.port:
        parts.append(attr(ADDR_PORT, U16.pack(said.port)))
    if full and said.flags:
        parts.append(attr_u32(ADDR_FLAGS, said.flags))
    if full and said.index:
        parts.append(attr_u32(ADDR_IF_IDX, said.index))
    return nest(type_ | NLA_F_NESTED, parts)


NLA_F_NESTED: Final = 0x8000


def endpoint_of(payload: memoryview) -> Endpoint | None:
    """Return the endpoint that an answer to GET_ADDR describes."""
    outer = attrs(payload)
    if ATTR_ADDR not in outer:
        return None
    found = attrs(outer[ATTR_ADDR])
    raw = found.get(ADDR_ADDR4, found.get(ADDR_ADDR6))
    if raw is None or ADDR_ID not in found:
        return None
    return Endpoint(
        ip(raw),
        found[ADDR_ID][0],
        u32(found[ADDR_FLAGS]) if ADDR_FLAGS in found else 0,
        u32(found[ADDR_IF_IDX]) if ADDR_IF_IDX in found else 0,
        U16.unpack_from(found[ADDR_PORT])[0] if ADDR_PORT in found else 0,
    )


def limits(subflows: int, add_addr_accepted: int) -> bytes:
    """Return the payload of SET_LIMITS."""
    return attr_u32(ATTR_RCV_ADD_ADDRS, add_addr_accepted) + attr_u32(ATTR_SUBFLOWS, subflows)


def limits_of(payload: memoryview) -> tuple[int, int]:
    """Return (subflows, addresses accepted) of an answer to GET_LIMITS."""
    found = attrs(payload)
    return u32(found[ATTR_SUBFLOWS]), u32(found[ATTR_RCV_ADD_ADDRS])


def subflow_create(token: int, local: Endpoint, remote: Endpoint) -> bytes:
    """Return the payload that opens a subflow; the kernel chooses the local port."""
    return b"".join(
        (
            address(ATTR_ADDR, local, full=True),
            attr_u32(ATTR_TOKEN, token),
            address(ATTR_ADDR_REMOTE, remote, full=False),
        )
    )


subflow_destroy = subflow_create
"""The same attributes; both ports have to be there."""


def announce(token: int, local: Endpoint) -> bytes:
    """Return the payload that tells the peer of *local*."""
    return address(ATTR_ADDR, local, full=True) + attr_u32(ATTR_TOKEN, token)


def remove(token: int, address_id: int) -> bytes:
    """Return the payload that tells the peer to forget an address of ours."""
    return attr_u32(ATTR_TOKEN, token) + attr(ATTR_LOC_ID, bytes((address_id,)))


@dataclass(frozen=True, slots=True)
class Event:
    """One message of the ``mptcp_pm_events`` group; what it does not say is None or 0."""

    what: int
    token: int
    local: Ip | None = None
    remote: Ip | None = None
    local_port: int = 0
    remote_port: int = 0
    local_id: int = 0
    remote_id: int = 0
    index: int = 0  # of the device
    error: int = 0  # errno of the subflow's socket
    reset: int = 0  # MPTCP_RST_*
    server: bool = False
    deny_join_id0: bool = False  # nobody is to connect to the peer's first address again
    backup: bool = False


def _ip_of(found: dict[int, memoryview], v4: int, v6: int) -> Ip | None:
    raw = found.get(v4, found.get(v6))
    return ip(raw) if raw is not None and len(raw) in (4, 16) else None


def _byte(found: dict[int, memoryview], type_: int) -> int:
    return found[type_][0] if type_ in found else 0


def _port(found: dict[int, memoryview], type_: int) -> int:
    value: int = PORT.unpack_from(found[type_])[0] if type_ in found else 0
    return value


def event_of(command: int, payload: memoryview) -> Event | None:
    """Return the event in a message, whose generic header is gone; None if it belongs to no connection."""
    found = attrs(payload)
    if EV_TOKEN not in found:
        return None
    flags = U16.unpack_from(found[EV_FLAGS])[0] if EV_FLAGS in found else 0
    return Event(
        command,
        u32(found[EV_TOKEN]),
        _ip_of(found, EV_SADDR4, EV_SADDR6),
        _ip_of(found, EV_DADDR4, EV_DADDR6),
        _port(found, EV_SPORT),
        _port(found, EV_DPORT),
        _byte(found, EV_LOC_ID),
        _byte(found, EV_REM_ID),
        u32(found[EV_IF_IDX]) if EV_IF_IDX in found else 0,
        _byte(found, EV_ERROR),
        u32(found[EV_RESET_REASON]) if EV_RESET_REASON in found else 0,
        bool(_byte(found, EV_SERVER_SIDE)) or bool(flags & SERVER_SIDE),
        bool(flags & DENY_JOIN_ID0),
        bool(_byte(found, EV_BACKUP)),
    )


def flag_names(bits: int) -> tuple[str, ...]:
    """Return the names of the flags in *bits*, in the order people write them."""
    return tuple(name for name in ("subflow", "signal", "backup", "fullmesh", "laminar") if bits & FLAGS[name])


def flag_bits(names: tuple[str, ...]) -> int:
    """Return the bits of *names*."""
    return sum(FLAGS[name] for name in names)


@dataclass(frozen=True, slots=True)
class FlowSeen:
    """One subflow as its TCP socket tells it. Times are in ms, rates in bytes a second."""

    token: int
    local: Ip
    local_port: int
    remote: Ip
    remote_port: int
    local_id: int = 0
    remote_id: int = 0
    flags: int = 0  # MPTCP_SUBFLOW_FLAG_*
    state: int = 1  # TCP_ESTABLISHED and so on
    rtt_ms: float = 0.0
    sent: int = 0  # bytes that the peer has acknowledged
    received: int = 0  # bytes
    rate: int = 0  # what the kernel delivered last
    retransmitted: int = 0  # bytes
    backoff: int = 0  # time-outs in a row
    unsent_ms: int = 0  # since data was sent last


@dataclass(frozen=True, slots=True)
class ConnectionSeen:
    """One MPTCP connection with its subflows, as the sockets tell it."""

    token: int
    local: Ip
    local_port: int
    remote: Ip
    remote_port: int
    server: bool
    state: int
    flows: tuple[FlowSeen, ...] = ()
    fallback: bool = False  # something on the way does not let MPTCP through
    sent: int = 0  # bytes that the peer has acknowledged, over all subflows
    received: int = 0


FLOW_MCAP_LOC, FLOW_JOIN_LOC, FLOW_BACKUP_REM, FLOW_BACKUP_LOC = 2, 8, 16, 32
