"""The generic netlink family ``mptcp_pm``: the kernel's MPTCP path manager, its messages as values. Pure.

Requests and answers are netlink attributes, without the header of generic
netlink. pyroute2 0.9.7 knows neither commands 8 to 11 nor the events.

Source: linux/mptcp_pm.h, linux/mptcp.h, Documentation/netlink/specs/mptcp_pm.yaml.
"""

from dataclasses import dataclass
from typing import Final

from neod.netlink.attributes import (
    AF_INET,
    AF_INET6,
    BE16,
    NLA_F_NESTED,
    U8,
    U16,
    V4_MAPPED,
    Ip,
    attr,
    attr_u32,
    attrs,
    inner,
    ip,
    is_mapped,
    nest,
    number,
    socket_ip,
)

FAMILY: Final = "mptcp_pm"
EVENTS: Final = "mptcp_pm_events"  # the multicast group; since Linux 5.14


CMD_ADD_ADDR, CMD_DEL_ADDR, CMD_GET_ADDR, CMD_FLUSH_ADDRS = 1, 2, 3, 4
CMD_SET_LIMITS, CMD_GET_LIMITS, CMD_SET_FLAGS = 5, 6, 7
CMD_ANNOUNCE, CMD_REMOVE, CMD_SUBFLOW_CREATE, CMD_SUBFLOW_DESTROY = 8, 9, 10, 11
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
EV_SPORT, EV_DPORT, EV_BACKUP, EV_ERROR, EV_FLAGS = 9, 10, 11, 12, 13
EV_IF_IDX, EV_RESET_REASON, EV_SERVER_SIDE = 15, 16, 18
DENY_JOIN_ID0, SERVER_SIDE = 1, 2  # bits of EV_FLAGS; the second since 6.18


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the kernel's path manager, or one address in a command."""

    ip: Ip
    id: int = 0
    flags: int = 0
    index: int = 0  # of its device; 0: none
    port: int = 0
    mapped: bool = False  # to be written as IPv6 sockets have IPv4 addresses


def address(type_: int, endpoint: Endpoint, *, full: bool) -> bytes:
    """Return *endpoint* as a nested attribute; without *full* only what identifies it."""
    packed = V4_MAPPED + endpoint.ip.packed if endpoint.mapped else endpoint.ip.packed
    v4 = len(packed) == 4
    parts = [attr(ADDR_FAMILY, U16.pack(AF_INET if v4 else AF_INET6))]
    parts.append(attr(ADDR_ADDR4 if v4 else ADDR_ADDR6, packed))
    if endpoint.id:
        parts.append(attr(ADDR_ID, bytes((endpoint.id,))))
    if endpoint.port:
        parts.append(attr(ADDR_PORT, U16.pack(endpoint.port)))
    if full and endpoint.flags:
        parts.append(attr_u32(ADDR_FLAGS, endpoint.flags))
    if full and endpoint.index:
        parts.append(attr_u32(ADDR_IF_IDX, endpoint.index))
    return nest(type_ | NLA_F_NESTED, parts)


def endpoint_of(payload: memoryview) -> Endpoint | None:
    """Return the endpoint that an answer to GET_ADDR describes."""
    found = inner(attrs(payload), ATTR_ADDR)
    raw, id_ = _raw_ip(found, ADDR_ADDR4, ADDR_ADDR6), number(found, ADDR_ID, U8, -1)
    if raw is None or id_ < 0:
        return None
    return Endpoint(ip(raw), id_, number(found, ADDR_FLAGS), number(found, ADDR_IF_IDX), number(found, ADDR_PORT, U16))


def limits(subflows: int, add_addr_accepted: int) -> bytes:
    return attr_u32(ATTR_RCV_ADD_ADDRS, add_addr_accepted) + attr_u32(ATTR_SUBFLOWS, subflows)


def limits_of(payload: memoryview) -> tuple[int, int]:
    """Return (subflows, addresses accepted) of an answer to GET_LIMITS."""
    found = attrs(payload)
    return number(found, ATTR_SUBFLOWS), number(found, ATTR_RCV_ADD_ADDRS)


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


set_flags = subflow_create
"""The same attributes: makes subflows between these addresses, whatever their ports, backup ones or not (MP_PRIO)."""


def announce(token: int, local: Endpoint) -> bytes:
    """Return the payload that sends ADD_ADDR for *local*."""
    return address(ATTR_ADDR, local, full=True) + attr_u32(ATTR_TOKEN, token)


def remove(token: int, address_id: int) -> bytes:
    """Return the payload that sends REMOVE_ADDR for an address of ours."""
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
    mapped: bool = False  # IPv4 on an IPv6 socket: what a server has that listens on ::


def _raw_ip(found: dict[int, memoryview], v4: int, v6: int) -> memoryview | None:
    raw = found.get(v4, found.get(v6))
    return raw if raw is not None and len(raw) in (4, 16) else None


def _end_of(found: dict[int, memoryview], v4: int, v6: int) -> Ip | None:
    raw = _raw_ip(found, v4, v6)
    return None if raw is None else socket_ip(raw)


def event_of(command: int, payload: memoryview) -> Event | None:
    """Return the event in a message, whose generic header is gone; None if it belongs to no connection."""
    found = attrs(payload)
    if len(found.get(EV_TOKEN, b"")) < 4:
        return None
    flags = number(found, EV_FLAGS, U16)
    return Event(
        command,
        number(found, EV_TOKEN),
        _end_of(found, EV_SADDR4, EV_SADDR6),
        _end_of(found, EV_DADDR4, EV_DADDR6),
        number(found, EV_SPORT, BE16),
        number(found, EV_DPORT, BE16),
        number(found, EV_LOC_ID, U8),
        number(found, EV_REM_ID, U8),
        number(found, EV_IF_IDX),
        number(found, EV_ERROR, U8),
        number(found, EV_RESET_REASON),
        bool(number(found, EV_SERVER_SIDE, U8) or flags & SERVER_SIDE),
        bool(flags & DENY_JOIN_ID0),
        bool(number(found, EV_BACKUP, U8)),
        is_mapped(found.get(EV_SADDR6, memoryview(b""))),
    )


def flag_names(bits: int) -> tuple[str, ...]:
    """Return the names of the flags in *bits*, in the order people write them."""
    return tuple(name for name in ("subflow", "signal", "backup", "fullmesh", "laminar") if bits & FLAGS[name])


def flag_bits(names: tuple[str, ...]) -> int:
    return sum(FLAGS[name] for name in names)
