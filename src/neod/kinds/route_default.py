"""The default route by a link that somebody else configured. Reads only."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from neod.kinds.route import MAIN_TABLE, RTA_TABLE, from_wire
from neod.kinds.route_hops import NHMSG, RTA_NH_ID, RTA_OIF, Hop, hops, hops_of_objects
from neod.model.ports import Rtnl
from neod.netlink.attributes import Ip, attr_u32, attrs, family_of, u32
from neod.netlink.rtnetlink import RTM_GETNEXTHOP, RTM_GETROUTE, RTMSG


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """How it leaves by the link."""

    gateway: Ip | None  # None: everything is on the link
    on_link: bool
    source: IPv4Address | None
    mtu: int | None


async def foreign_default(rtnl: Rtnl, link: str) -> DefaultRoute | None:
    """Return the best foreign IPv4 default by *link* in the main table: of one with several hops, its own.

    Raises:
        KernelError: the routes cannot be read.
    """
    index = rtnl.index_of(link)
    if index is None:
        return None
    head = RTMSG.pack(family_of(4), 0, 0, 0, MAIN_TABLE, 0, 0, 0, 0)
    filters = attr_u32(RTA_TABLE, MAIN_TABLE) + attr_u32(RTA_OIF, index)
    defaults = [payload for _, payload in await rtnl.dump(RTM_GETROUTE, head + filters) if not payload[1]]
    objects = await _nexthop_objects(rtnl) if any(map(_object_of, defaults)) else {}
    found = sorted(
        (key.metric, number, route.spec, hop)
        for number, payload in enumerate(defaults)
        if (reading := from_wire("", payload, rtnl.name_of))
        for key, route in (reading,)
        if not route.owned and not key.tos and route.spec.type == "unicast"
        if (hop := _hop_by(index, payload, objects)) is not None
    )
    if not found:
        return None
    _, _, spec, hop = found[0]
    return DefaultRoute(
        hop.gateway, hop.on_link, spec.source if isinstance(spec.source, IPv4Address) else None, spec.mtu
    )


async def _nexthop_objects(rtnl: Rtnl) -> Mapping[int, list[Hop]]:
    return hops_of_objects(payload for _, payload in await rtnl.dump(RTM_GETNEXTHOP, NHMSG.pack(0, 0, 0, 0)))


def _object_of(payload: memoryview) -> int:
    """Return the nexthop object that alone says the hops of a route; 0 for none."""
    found = attrs(payload, RTMSG.size)
    has_hops = next(hops(found, 0), None) is not None
    return 0 if has_hops or RTA_NH_ID not in found else u32(found[RTA_NH_ID])


def _hop_by(index: int, payload: memoryview, objects: Mapping[int, list[Hop]]) -> Hop | None:
    """Return the first hop of a route that leaves by the link with that index."""
    found = attrs(payload, RTMSG.size)
    all_hops = [*hops(found, RTMSG.unpack_from(payload)[8]), *objects.get(_object_of(payload), ())]
    return next((hop for hop in all_hops if hop.index == index), None)
