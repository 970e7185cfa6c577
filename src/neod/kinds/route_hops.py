"""Where a route sends its packets, in each of the ways that the kernel writes it. Pure.

One hop stands in the route itself, several in RTA_MULTIPATH. A route that
names a nexthop object has the same attributes beside RTA_NH_ID, unless the
sysctl ``net.ipv4.nexthop_compat_mode`` is 0: then the object says it.

Source: net/ipv4/fib_semantics.c, fib_dump_info; linux/rtnetlink.h; linux/nexthop.h.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final

from neod.netlink.attributes import Ip, attr, attrs, family_of, ip, u32

RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH, RTA_VIA, RTA_NH_ID = 4, 5, 9, 18, 30
NHA_ID, NHA_GROUP, NHA_OIF, NHA_GATEWAY = 1, 2, 5, 6
RTNH_F_ONLINK: Final = 4
RTNEXTHOP: Final = Struct("=HBBi")  # length, flags, weight - 1, index
NHMSG: Final = Struct("=BBBxI")  # family, scope, protocol, flags
GROUP_MEMBER: Final = Struct("=IBBH")  # id, weight - 1

Found = Mapping[int, memoryview]


@dataclass(frozen=True, slots=True)
class Hop:
    """One next hop."""

    index: int  # of the link
    gateway: Ip | None  # None: what is reached is on the link. IPv6 also for IPv4 (RFC 5549)
    on_link: bool = False


def gateway_attr(version: int, gateway: Ip) -> bytes:
    """Return the attribute that names the gateway of an IP *version* route."""
    if gateway.version == version:
        return attr(RTA_GATEWAY, gateway.packed)
    return attr(RTA_VIA, family_of(gateway.version).to_bytes(2, sys.byteorder) + gateway.packed)


def gateway_in(found: Found) -> Ip | None:
    """Return the gateway that attributes of a route, or of one of its hops, name."""
    if RTA_GATEWAY in found:
        return ip(found[RTA_GATEWAY])
    return ip(found[RTA_VIA][2:]) if RTA_VIA in found else None


def hops(found: Found, flags: int) -> Iterator[Hop]:
    """Yield the hops in the attributes of a route with *flags*; none where a nexthop object alone says them."""
    if RTA_OIF in found:
        yield Hop(u32(found[RTA_OIF]), gateway_in(found), bool(flags & RTNH_F_ONLINK))
    rest = found.get(RTA_MULTIPATH, memoryview(b""))
    while len(rest) >= RTNEXTHOP.size:
        length, hop_flags, _, index = RTNEXTHOP.unpack_from(rest)
        if length < RTNEXTHOP.size:
            return
        yield Hop(index, gateway_in(attrs(rest[:length], RTNEXTHOP.size)), bool(hop_flags & RTNH_F_ONLINK))
        rest = rest[(length + 3) & ~3 :]


def hops_of_objects(payloads: Iterable[memoryview]) -> dict[int, list[Hop]]:
    """Return the hops of every nexthop object of a dump, by its id; those of a group are its members'."""
    single: dict[int, list[Hop]] = {}
    groups: dict[int, list[int]] = {}
    for payload in payloads:
        found = attrs(payload, NHMSG.size)
        if NHA_GROUP in found:
            members = GROUP_MEMBER.iter_unpack(found[NHA_GROUP])
            groups[u32(found[NHA_ID])] = [member for member, _, _, _ in members]
        elif NHA_OIF in found:
            gateway = ip(found[NHA_GATEWAY]) if NHA_GATEWAY in found else None
            on_link = bool(NHMSG.unpack_from(payload)[3] & RTNH_F_ONLINK)
            single[u32(found[NHA_ID])] = [Hop(u32(found[NHA_OIF]), gateway, on_link)]
    return single | {name: [hop for one in ids for hop in single.get(one, ())] for name, ids in groups.items()}
