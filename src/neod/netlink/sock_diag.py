"""sock_diag: every MPTCP connection of a namespace with its subflows, as ``ss -Mni`` and ``ss -tni`` show them.

A dump of all sockets: milliseconds for a thousand. pyroute2 0.9.7 cannot ask
for protocol 262, which does not fit the request's byte.

Source: linux/inet_diag.h, linux/mptcp.h, struct tcp_info of linux/tcp.h.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from neod.netlink.attributes import (
    AF_INET,
    AF_INET6,
    U8,
    U32,
    U64,
    Ip,
    attr_u32,
    attrs,
    inner,
    is_mapped,
    number,
    socket_ip,
    string,
)
from neod.netlink.message import Object

SOCK_DIAG_BY_FAMILY: Final = 20
IPPROTO_TCP, IPPROTO_MPTCP = 6, 262
INET_DIAG_REQ_PROTOCOL: Final = 3
INET_DIAG_INFO, INET_DIAG_ULP_INFO = 2, 19
INET_DIAG_SKV6ONLY: Final = 11
TCP_LISTEN, UNCONNECTED = 10, 7
SOURCE_AT, TARGET_AT, INODE_AT = 8, 24, 68  # in inet_diag_msg
INET_ULP_INFO_NAME, INET_ULP_INFO_MPTCP = 1, 3
MPTCP_SUBFLOW_ATTR_TOKEN_LOC, MPTCP_SUBFLOW_ATTR_FLAGS = 2, 8
MPTCP_SUBFLOW_ATTR_ID_REM, MPTCP_SUBFLOW_ATTR_ID_LOC = 9, 10
FLOW_MCAP_REM, FLOW_MCAP_LOC, FLOW_JOIN_LOC, FLOW_BACKUP_REM, FLOW_BACKUP_LOC = 1, 2, 8, 16, 32  # MPTCP_SUBFLOW_FLAG_*
NOT_LISTENING: Final = 0xFFF & ~(1 << 10) & ~(1 << 6) & ~(1 << 7)
"""States to dump: all but LISTEN, TIME_WAIT and CLOSE."""
OPEN: Final = NOT_LISTENING & ~(1 << 3)
"""Those that ``ss -t`` shows: no SYN_RECV, which no program has yet."""

REQUEST: Final = Struct("=BBBxI48x")  # inet_diag_req_v2: family, protocol, extensions, states, no socket id
MESSAGE: Final = Struct(">BBBBHH16s16s")  # inet_diag_msg: family, state, timer, retransmits, ports, addresses, …
MESSAGE_BYTES: Final = 72
MPTCP_INFO: Final = Struct("=6x2xIIQQQ")  # flags, token, write_seq, snd_una, rcv_nxt
MPTCP_INFO_FLAG_FALLBACK, MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED = 1, 2
RECEIVE_BUFFER_BYTES: Final = 16 << 20

BACKOFF_AT, LAST_DATA_SENT_AT, RTT_AT, BYTES_ACKED_AT = 4, 44, 68, 120  # in struct tcp_info
BYTES_RECEIVED_AT, DELIVERY_RATE_AT, BYTES_RETRANS_AT = 128, 160, 208


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """What neo reads of struct tcp_info. Rates are in bytes a second."""

    rtt_ms: float = 0.0
    sent: int = 0  # bytes that the peer has acknowledged
    received: int = 0  # bytes
    rate: int = 0  # what the kernel delivered last
    retransmitted: int = 0  # bytes
    backoff: int = 0  # time-outs in a row
    unsent_ms: int = 0  # since data was sent last


@dataclass(frozen=True, slots=True)
class FlowSeen:
    """One subflow as its TCP socket reports it."""

    token: int
    local: Ip
    local_port: int
    remote: Ip
    remote_port: int
    local_id: int = 0
    remote_id: int = 0
    flags: int = 0  # MPTCP_SUBFLOW_FLAG_*
    state: int = 1  # TCP_ESTABLISHED and so on
    tcp: TcpInfo = TcpInfo()
    mapped: bool = False  # IPv4 on an IPv6 socket


@dataclass(frozen=True, slots=True)
class ConnectionSeen:
    """One MPTCP connection with its subflows, as the sockets report it."""

    token: int
    local: Ip
    local_port: int
    remote: Ip
    remote_port: int
    server: bool
    state: int
    flows: tuple[FlowSeen, ...] = ()
    fallback: bool = False  # it is one TCP connection
    sent: int = 0  # bytes that the peer has acknowledged, over all subflows
    received: int = 0
    agreed: bool = False  # the peer's half of the handshake said MPTCP

    @property
    def asked(self) -> bool:
        """Whether this side asked for MPTCP; it stops asking where SYNs that do got no answer (since 6.12)."""
        return any(flow.flags & FLOW_MCAP_LOC for flow in self.flows)


Dump = Callable[[int, bytes], Sequence[Object]]  # the dump of a ``Connection`` to sock_diag
DumpEach = Callable[[int, bytes, Callable[[Object], None]], None]  # the same, one by one


def dump_connections(dump: Dump) -> list[ConnectionSeen]:
    """Return all MPTCP connections of the namespace.

    Raises:
        NetlinkError: the sockets could not be read.
    """
    masters = [m for family in (AF_INET, AF_INET6) for m in dump_sockets(dump, family, IPPROTO_MPTCP)]
    if not masters:
        return []
    flows = [m for family in (AF_INET, AF_INET6) for m in dump_sockets(dump, family, IPPROTO_TCP)]
    return list(assembled(masters, flows))


def dump_sockets(dump: Dump, family: int, protocol: int) -> list[memoryview]:
    """Return an inet_diag_msg with its attributes for every socket that is connected or about to be.

    Raises:
        NetlinkError: the sockets could not be read.
    """
    body = REQUEST.pack(family, protocol & 0xFF, 1 << (INET_DIAG_INFO - 1), NOT_LISTENING)
    if protocol > 0xFF:
        body += attr_u32(INET_DIAG_REQ_PROTOCOL, protocol)
    return [payload for _, payload in dump(SOCK_DIAG_BY_FAMILY, body)]


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """One TCP socket that is connected or about to be; a subflow has the token of its MPTCP connection."""

    local: Ip
    local_port: int
    remote: Ip
    remote_port: int
    token: int = 0


def open_sockets(each: DumpEach, wanted: Callable[[Ip, Ip], bool]) -> list[OpenSocket]:
    """Return the TCP sockets whose local and remote address are *wanted*; a host may have a million others.

    Raises:
        NetlinkError: the sockets could not be read.
    """
    found: list[OpenSocket] = []

    def take(answer: Object) -> None:
        local, local_port, remote, remote_port, _ = _ends(answer[1])
        if wanted(local, remote):
            flow = flow_of(answer[1])
            found.append(OpenSocket(local, local_port, remote, remote_port, flow.token if flow else 0))

    for family in (AF_INET, AF_INET6):
        body = REQUEST.pack(family, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), OPEN)
        each(SOCK_DIAG_BY_FAMILY, body, take)
    return found


def dump_listeners(dump: Dump, family: int, protocol: int) -> Iterator[tuple[Ip, int, int, bool]]:
    """Yield address, port, inode, and whether it takes IPv6 alone, of each socket that takes what comes to a port.

    Raises:
        NetlinkError: the sockets could not be read.
    """
    state = TCP_LISTEN if protocol == IPPROTO_TCP else UNCONNECTED
    body = REQUEST.pack(family, protocol, 0, 1 << state)
    for _, payload in dump(SOCK_DIAG_BY_FAMILY, body):
        ip, port, _, _, _ = _ends(payload)
        only = number(attrs(payload, MESSAGE_BYTES), INET_DIAG_SKV6ONLY, U8)
        yield ip, port, U32.unpack_from(payload, INODE_AT)[0], bool(only)


def assembled(masters: Sequence[memoryview], sockets: Sequence[memoryview]) -> Iterator[ConnectionSeen]:
    """Yield the connections that MPTCP sockets and TCP sockets make together."""
    by_token: dict[int, list[FlowSeen]] = defaultdict(list)
    for payload in sockets:
        if flow := flow_of(payload):
            by_token[flow.token].append(flow)
    for payload in masters:
        info = attrs(payload, MESSAGE_BYTES).get(INET_DIAG_INFO, b"")
        if len(info) >= MPTCP_INFO.size:
            flags, token, _, _, _ = MPTCP_INFO.unpack_from(info)
            yield _connection(payload, flags, token, by_token.get(token, []))


def _connection(payload: memoryview, flags: int, token: int, flows: list[FlowSeen]) -> ConnectionSeen:
    local, local_port, remote, remote_port, state = _ends(payload)
    fallback, agreed = bool(flags & MPTCP_INFO_FLAG_FALLBACK), bool(flags & MPTCP_INFO_FLAG_REMOTE_KEY_RECEIVED)
    client = any(flow.flags & (FLOW_MCAP_LOC | FLOW_JOIN_LOC) for flow in flows)
    plain = fallback and not any(flow.flags & FLOW_MCAP_REM for flow in flows)  # only a client has one that never was
    return ConnectionSeen(
        token,
        local,
        local_port,
        remote,
        remote_port,
        bool(flows) and not client and not plain,
        state,
        tuple(sorted(flows, key=lambda f: (f.local_id, f.remote_id, f.local_port))),
        fallback,
        sum(flow.tcp.sent for flow in flows),
        sum(flow.tcp.received for flow in flows),
        agreed,
    )


def flow_of(payload: memoryview) -> FlowSeen | None:
    """Return the subflow that a TCP socket is; None if it is an ordinary one."""
    found = attrs(payload, MESSAGE_BYTES)
    ulp = inner(found, INET_DIAG_ULP_INFO)
    if INET_ULP_INFO_MPTCP not in ulp or string(ulp, INET_ULP_INFO_NAME) != "mptcp":
        return None
    sub = attrs(ulp[INET_ULP_INFO_MPTCP])
    local, local_port, remote, remote_port, state = _ends(payload)
    return FlowSeen(
        number(sub, MPTCP_SUBFLOW_ATTR_TOKEN_LOC),
        local,
        local_port,
        remote,
        remote_port,
        number(sub, MPTCP_SUBFLOW_ATTR_ID_LOC, U8),
        number(sub, MPTCP_SUBFLOW_ATTR_ID_REM, U8),
        number(sub, MPTCP_SUBFLOW_ATTR_FLAGS),
        state,
        _tcp_info(found.get(INET_DIAG_INFO, memoryview(b""))),
        payload[0] == AF_INET6 and is_mapped(payload[SOURCE_AT:TARGET_AT]),
    )


def _tcp_info(info: memoryview) -> TcpInfo:
    return TcpInfo(
        _at(info, RTT_AT, U32) / 1000,
        _at(info, BYTES_ACKED_AT, U64),
        _at(info, BYTES_RECEIVED_AT, U64),
        _at(info, DELIVERY_RATE_AT, U64),
        _at(info, BYTES_RETRANS_AT, U64),
        _at(info, BACKOFF_AT, U8),
        _at(info, LAST_DATA_SENT_AT, U32),
    )


def _at(info: memoryview, offset: int, layout: Struct) -> int:
    """Return a number in a struct tcp_info; 0 where this kernel's is shorter."""
    return layout.unpack_from(info, offset)[0] if len(info) >= offset + layout.size else 0


def _ends(payload: memoryview) -> tuple[Ip, int, Ip, int, int]:
    family, state, _, _, sport, dport, _, _ = MESSAGE.unpack_from(payload)
    size = 4 if family == AF_INET else 16
    local, remote = (socket_ip(payload[at : at + size]) for at in (SOURCE_AT, TARGET_AT))
    return local, sport, remote, dport, state
