"""Where the kernel sends packets, as it says when asked (RTM_GETROUTE); nothing is sent. Reads only."""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from neod.kinds.route import DEFAULTS, RTA_DST, RTA_SRC, RTA_TABLE, RouteKey, RouteSpec
from neod.kinds.route_hops import RTA_OIF, Hop, hops
from neod.model.errors import KernelError
from neod.model.key import Key
from neod.model.ports import Rtnl
from neod.netlink.attributes import Ip, attr, attr_u32, attrs, family_of, u32
from neod.netlink.rtnetlink import RTM_GETROUTE, RTMSG

OUTSIDE: Final[dict[int, Ip]] = {4: IPv4Address("198.41.0.4"), 6: IPv6Address("2001:503:ba3e::2:30")}
"""a.root-servers.net: an address that no host has a route of its own for."""

RTM_F_LOOKUP_TABLE, RTM_F_FIB_MATCH = 0x1000, 0x2000
FLAGS: Final = {4: RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH, 6: RTM_F_FIB_MATCH}
"""The answer is the route itself, since redirects are no matter of rules, and names its table. IPv6 always does, and
refuses the flag. Source: net/ipv6/route.c, inet6_rtm_valid_getroute_req."""

NO_WAY: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.EAGAIN)


@dataclass(frozen=True, slots=True)
class Way:
    """What the kernel said: a route, or a refusal."""

    table: int = 0
    hop: Hop | None = None
    refusal: int = 0  # errno


def default_of(table: int, version: int, specs: Mapping[Key, object]) -> tuple[RouteKey, RouteSpec] | None:
    """Return the default route that *specs* have for a table of ours."""
    key = RouteKey("", table, DEFAULTS[version].dst, DEFAULTS[version].metric)
    spec = specs.get(key)
    return (key, spec) if isinstance(spec, RouteSpec) else None


async def ways_out(rtnl: Rtnl, sources: Sequence[tuple[Ip, int]]) -> list[Way]:
    """Return the way from each address to one outside; with an index, of a socket that is bound to that link."""
    answers = await rtnl.get([(RTM_GETROUTE, _request_from(ip, bound)) for ip, bound in sources])
    return [_way(answer) for answer in answers]


async def links_to(rtnl: Rtnl, targets: Sequence[Ip]) -> Mapping[Ip, str]:
    """Return the link that leads to each target; none leads to some.

    Raises:
        KernelError: the kernel cannot be asked.
    """
    answers = await rtnl.get([(RTM_GETROUTE, _request_to(ip)) for ip in targets]) if targets else ()
    found = {}
    for ip, answer in zip(targets, answers, strict=True):
        if not isinstance(answer, KernelError):
            route = attrs(answer[1], RTMSG.size)
            if name := rtnl.name_of(u32(route[RTA_OIF])) if RTA_OIF in route else None:
                found[ip] = name
        elif answer.code not in NO_WAY:
            raise answer
    return found


def _request_to(ip: Ip) -> bytes:
    return RTMSG.pack(family_of(ip.version), ip.max_prefixlen, 0, 0, 0, 0, 0, 0, 0) + attr(RTA_DST, ip.packed)


def _request_from(ip: Ip, bound: int) -> bytes:
    bits = ip.max_prefixlen
    head = RTMSG.pack(family_of(ip.version), bits, bits, 0, 0, 0, 0, 0, FLAGS[ip.version])
    out = attr_u32(RTA_OIF, bound) if bound else b""
    return head + attr(RTA_DST, OUTSIDE[ip.version].packed) + attr(RTA_SRC, ip.packed) + out


def _way(answer: tuple[int, memoryview] | KernelError) -> Way:
    if isinstance(answer, KernelError):
        return Way(refusal=answer.code)
    found = attrs(answer[1], RTMSG.size)
    table = u32(found[RTA_TABLE]) if RTA_TABLE in found else RTMSG.unpack_from(answer[1])[4]
    return Way(table, next(hops(found, 0), None))
