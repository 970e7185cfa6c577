"""Tracked connections (ctnetlink): reading them, and removing one. Pure.

Addresses stay bytes and a tuple its own attribute: a table may have a
million, and most are looked at once.

Source: linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_tcp.h.
"""

from dataclasses import dataclass
from typing import Final

from neod.netlink.attributes import BE16, NLA_F_NESTED, U8, attr, attrs, inner, number
from neod.netlink.message import NLM_F_ACK, Request
from neod.netlink.nfnetlink import NFGENMSG_BYTES, nfgenmsg

CTNETLINK: Final = 1 << 8
IPCTNL_MSG_CT_NEW, IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = CTNETLINK | 0, CTNETLINK | 1, CTNETLINK | 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_PROTOINFO, CTA_ID, CTA_ZONE = 1, 2, 4, 12, 18
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
SOURCES, TARGETS = (1, 3), (2, 4)  # CTA_IP_V4_SRC, CTA_IP_V6_SRC; CTA_IP_V4_DST, CTA_IP_V6_DST
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_STATE = 1, 1
IPPROTO_TCP, IPPROTO_UDP = 6, 17
SYN_SENT: Final = (1, 9)  # TCP_CONNTRACK_SYN_SENT, _SYN_SENT2


@dataclass(frozen=True, slots=True)
class Ends:
    """One direction of a connection. Ports are 0 where the protocol has none."""

    source: bytes
    source_port: int
    target: bytes
    target_port: int


@dataclass(frozen=True, slots=True)
class TrackedFlow:
    """One connection as the kernel tracks it."""

    protocol: int  # IPPROTO_*
    asked: Ends  # of the first packet, as it came
    answered: Ends  # of the answers, as they come
    half_open: bool  # TCP whose first packet nobody has answered
    name: bytes  # what removes this very one

    @property
    def sent_to(self) -> tuple[bytes, int] | None:
        """Return where its packets are sent instead; None where nothing translates the target."""
        end = self.answered.source, self.answered.source_port
        return None if end == (self.asked.target, self.asked.target_port) else end

    @property
    def sent_from(self) -> bytes | None:
        """Return the source that its packets get; None where nothing translates it."""
        return None if self.answered.target == self.asked.source else self.answered.target


def dump_request(family: int) -> bytes:
    """Return the payload that asks for all connections of an address family."""
    return nfgenmsg(family)


def flow_in(payload: memoryview) -> TrackedFlow | None:
    """Return the connection that an answer to CT_GET describes; None if it lacks a direction."""
    found = attrs(payload, NFGENMSG_BYTES)
    if CTA_TUPLE_ORIG not in found or CTA_TUPLE_REPLY not in found:
        return None
    protocol, asked = _ends(found[CTA_TUPLE_ORIG])
    _, answered = _ends(found[CTA_TUPLE_REPLY])
    half_open = False
    if protocol == IPPROTO_TCP:
        tcp = inner(inner(found, CTA_PROTOINFO), CTA_PROTOINFO_TCP)
        half_open = number(tcp, CTA_PROTOINFO_TCP_STATE, U8) in SYN_SENT
    kept = [(CTA_TUPLE_ORIG | NLA_F_NESTED, CTA_TUPLE_ORIG), (CTA_ID, CTA_ID), (CTA_ZONE, CTA_ZONE)]
    name = b"".join(attr(type_, bytes(found[which])) for type_, which in kept if which in found)
    return TrackedFlow(protocol, asked, answered, half_open, bytes(payload[:NFGENMSG_BYTES]) + name)


def removal(flow: TrackedFlow) -> Request:
    """Return the request that removes just this connection, and no later one between the same ends."""
    return IPCTNL_MSG_CT_DELETE, NLM_F_ACK, flow.name


def _ends(data: memoryview) -> tuple[int, Ends]:
    found = attrs(data)
    ip, proto = inner(found, CTA_TUPLE_IP), inner(found, CTA_TUPLE_PROTO)
    source, target = (next((bytes(ip[one]) for one in which if one in ip), b"") for which in (SOURCES, TARGETS))
    ports = (number(proto, port, BE16) for port in (CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT))
    source_port, target_port = ports
    return number(proto, CTA_PROTO_NUM, U8), Ends(source, source_port, target, target_port)
