"""Every MPTCP connection of a namespace with its subflows, from sock_diag.

A dump of all sockets: milliseconds for a thousand, so that it runs in a
thread, at a restart, after lost events and when somebody asks.

Source: linux/inet_diag.h, linux/mptcp.h, struct tcp_info of linux/tcp.h.
"""

import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Any, Final

from neod.kernel.errors import from_os_error, refused
from neod.kernel.rtnl import messages
from neod.netlink.mptcp_pm import FLOW_JOIN_LOC, FLOW_MCAP_LOC, ConnectionSeen, FlowSeen
from neod.wire import HEADER, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, Ip, attr_u32, attrs, text, u32

NETLINK_SOCK_DIAG: Final = 4
SOCK_DIAG_BY_FAMILY: Final = 20
IPPROTO_TCP, IPPROTO_MPTCP = 6, 262
INET_DIAG_REQ_PROTOCOL: Final = 3
INET_DIAG_INFO, INET_DIAG_ULP_INFO = 2, 19
ULP_NAME, ULP_MPTCP = 1, 3
SUB_TOKEN_LOC, SUB_FLAGS, SUB_ID_REM, SUB_ID_LOC = 2, 8, 9, 10
NOT_LISTENING: Final = 0xFFF & ~(1 << 10) & ~(1 << 6) & ~(1 << 7)
"""States to dump: all but LISTEN, TIME_WAIT and CLOSE."""

REQUEST: Final = Struct("=BBBxI48x")  # family, protocol, extensions, states, a socket id of zeros
MESSAGE: Final = Struct(">BBBBHH16s16s")  # family, state, timer, retransmits, ports and addresses
MESSAGE_BYTES: Final = 72
INFO_MPTCP: Final = Struct("=6x2xIIQQQ")  # flags, token, write_seq, snd_una, rcv_nxt
RECEIVE_BUFFER_BYTES: Final = 16 << 20
FALLBACK: Final = 1

TCP_RTT_AT, TCP_LAST_SENT_AT, TCP_ACKED_AT, TCP_RECEIVED_AT = 68, 44, 120, 128
TCP_RATE_AT, TCP_RETRANSMITTED_AT, TCP_BACKOFF_AT = 160, 208, 4
U64: Final = Struct("=Q")


def open_diag() -> socket.socket:
    """Return a NETLINK_SOCK_DIAG socket of the calling thread's namespace.

    Raises:
        KernelError: no permission, or no descriptors left.
    """
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.settimeout(5.0)
        sock.bind((0, 0))
    except OSError as error:
        raise from_os_error("socket(NETLINK_SOCK_DIAG)", error) from error
    return sock


def census(enter: Callable[[Callable[[], Any]], Any]) -> list[ConnectionSeen]:
    """Return all connections of the namespace that *enter* runs a call in. Blocks; not for the loop.

    Raises:
        KernelError: the sockets could not be read.
    """
    with enter(open_diag) as sock:
        try:
            masters = [m for family in (2, 10) for m in _dump(sock, family, IPPROTO_MPTCP)]
            flows = [m for family in (2, 10) for m in _dump(sock, family, IPPROTO_TCP)] if masters else []
        except OSError as error:
            raise from_os_error("sock_diag", error) from error
    return list(assembled(masters, flows))


def _dump(sock: socket.socket, family: int, protocol: int) -> Iterator[memoryview]:
    body = REQUEST.pack(family, protocol & 0xFF, 1 << (INET_DIAG_INFO - 1), NOT_LISTENING)
    if protocol > 0xFF:
        body += attr_u32(INET_DIAG_REQ_PROTOCOL, protocol)
    sock.send(HEADER.pack(16 + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, family, 0) + body)
    while True:
        for type_, _, _, payload in messages(sock.recv(1 << 18)):
            if type_ == NLMSG_DONE:
                return
            if type_ == NLMSG_ERROR:
                raise refused("sock_diag", -int.from_bytes(payload[:4], "little", signed=True))
            yield payload


def assembled(masters: list[memoryview], sockets: list[memoryview]) -> Iterator[ConnectionSeen]:
    """Yield the connections that the messages describe."""
    by_token: dict[int, list[FlowSeen]] = defaultdict(list)
    for payload in sockets:
        if flow := flow_of(payload):
            by_token[flow.token].append(flow)
    for payload in masters:
        found = attrs(payload, MESSAGE_BYTES)
        if INET_DIAG_INFO not in found or len(found[INET_DIAG_INFO]) < INFO_MPTCP.size:
            continue
        flags, token, _, _, _ = INFO_MPTCP.unpack_from(found[INET_DIAG_INFO])
        flows = tuple(sorted(by_token.get(token, ()), key=lambda f: (f.local_id, f.remote_id, f.local_port)))
        local, local_port, remote, remote_port, state = _ends(payload)
        client = any(flow.flags & (FLOW_MCAP_LOC | FLOW_JOIN_LOC) for flow in flows)
        yield ConnectionSeen(
            token,
            local,
            local_port,
            remote,
            remote_port,
            bool(flows) and not client,
            state,
            flows,
            bool(flags & FALLBACK),
            sum(flow.sent for flow in flows),
            sum(flow.received for flow in flows),
        )


def flow_of(payload: memoryview) -> FlowSeen | None:
    """Return the subflow that a TCP socket is; None if it is an ordinary one."""
    found = attrs(payload, MESSAGE_BYTES)
    if INET_DIAG_ULP_INFO not in found:
        return None
    ulp = attrs(found[INET_DIAG_ULP_INFO])
    if ULP_MPTCP not in ulp or text(ulp[ULP_NAME]) != "mptcp":
        return None
    sub, info = attrs(ulp[ULP_MPTCP]), found.get(INET_DIAG_INFO, memoryview(b""))
    local, local_port, remote, remote_port, state = _ends(payload)
    return FlowSeen(
        u32(sub[SUB_TOKEN_LOC]) if SUB_TOKEN_LOC in sub else 0,
        local,
        local_port,
        remote,
        remote_port,
        sub[SUB_ID_LOC][0] if SUB_ID_LOC in sub else 0,
        sub[SUB_ID_REM][0] if SUB_ID_REM in sub else 0,
        u32(sub[SUB_FLAGS]) if SUB_FLAGS in sub else 0,
        state,
        _u32(info, TCP_RTT_AT) / 1000,
        _u64(info, TCP_ACKED_AT),
        _u64(info, TCP_RECEIVED_AT),
        _u64(info, TCP_RATE_AT),
        _u64(info, TCP_RETRANSMITTED_AT),
        info[TCP_BACKOFF_AT] if len(info) > TCP_BACKOFF_AT else 0,
        _u32(info, TCP_LAST_SENT_AT),
    )


def _u32(info: memoryview, at: int) -> int:
    return u32(info[at:]) if len(info) >= at + 4 else 0


def _u64(info: memoryview, at: int) -> int:
    value: int = U64.unpack_from(info, at)[0] if len(info) >= at + 8 else 0
    return value


def _ends(payload: memoryview) -> tuple[Ip, int, Ip, int, int]:
    family, state, _, _, sport, dport, src, dst = MESSAGE.unpack_from(payload)
    return _ip(family, src), sport, _ip(family, dst), dport, state


def _ip(family: int, raw: bytes) -> Ip:
    """Return an address; one of IPv4 on an IPv6 socket is the IPv4 address that it is."""
    if family == socket.AF_INET:
        return IPv4Address(raw[:4])
    mapped = IPv6Address(raw).ipv4_mapped
    return mapped if mapped is not None else IPv6Address(raw)
