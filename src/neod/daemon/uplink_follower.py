"""Uplinks that somebody else configures: their addresses and gateway become facts."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from neod.kinds import KINDS
from neod.kinds.route import MAIN_TABLE, RTA_TABLE, from_wire
from neod.kinds.route_hops import NHMSG, RTA_NH_ID, RTA_OIF, Hop, hops, hops_of_objects
from neod.model.errors import KernelError
from neod.model.facts import Followed
from neod.model.key import AddressKey, Key
from neod.model.ports import Rtnl
from neod.netlink.attributes import attr_u32, attrs, family_of, u32
from neod.netlink.rtnetlink import RTM_GETNEXTHOP, RTM_GETROUTE, RTMSG
from neod.reconcile.observed import Observed

ON_THE_LINK: Final = IPv4Address("0.0.0.0")
IN_MAIN_TABLE: Final = {MAIN_TABLE: "main table"}  # no link can have a name with a space


class UplinkFollower:
    """Reads what others configured on the uplinks that neod only follows, when something there moved."""

    def __init__(self) -> None:
        self._links: frozenset[str] = frozenset()
        self._facts: dict[str, Followed] = {}
        self._dirty = True

    def want(self, links: tuple[str, ...]) -> None:
        """Follow exactly these uplinks."""
        self._links = frozenset(links)
        self._dirty = True

    def concerns(self, key: Key) -> bool:
        """Whether *key* is part of what is followed: an uplink, what belongs to it, or a route of the main table."""
        if key.netns:
            return False
        name = KINDS[key.kind].path(key, None, IN_MAIN_TABLE)
        return name in self._links or (name == IN_MAIN_TABLE[MAIN_TABLE] and bool(self._links))

    def invalidate(self) -> None:
        """Read again at the next refresh."""
        self._dirty = True

    async def refresh(self, observed: Observed, rtnl: Rtnl) -> Mapping[str, Followed]:
        """Return the facts that changed since the last call, by uplink."""
        if not self._dirty:
            return {}
        self._dirty = False
        found = {link: await self._look(link, observed, rtnl) for link in sorted(self._links)}
        changed = {link: fact for link, fact in found.items() if self._facts.get(link) != fact}
        self._facts = found
        return changed

    async def _look(self, link: str, observed: Observed, rtnl: Rtnl) -> Followed:
        addresses = sorted(
            (key.ip, key.prefix_length)
            for key, seen in observed.named_by(AddressKey, "").items()
            if key.link == link and not seen.owned and isinstance(key.ip, IPv4Address) and not key.ip.is_link_local
        )
        seen = Followed(link, tuple(addresses))
        return await self._with_default(seen, rtnl) if addresses else seen

    async def _with_default(self, seen: Followed, rtnl: Rtnl) -> Followed:
        """Add the best foreign default route by the link in the main table: of one with several hops, its own."""
        index = rtnl.index_of(seen.link)
        if index is None:
            return seen
        head = RTMSG.pack(family_of(4), 0, 0, 0, MAIN_TABLE, 0, 0, 0, 0)
        filters = attr_u32(RTA_TABLE, MAIN_TABLE) + attr_u32(RTA_OIF, index)
        try:
            dumped = [payload for _, payload in await rtnl.dump(RTM_GETROUTE, head + filters)]
            defaults = [payload for payload in dumped if not payload[1]]
            objects = await _nexthop_objects(rtnl) if any(map(_object_of, defaults)) else {}
        except KernelError:
            self._dirty = True
            before = self._facts.get(seen.link, seen)
            return replace(before, addresses=seen.addresses)
        found = sorted(
            (key.metric, number, route.spec, hop)
            for number, payload in enumerate(defaults)
            if (reading := from_wire("", payload, rtnl.name_of))
            for key, route in (reading,)
            if not route.owned and not key.tos and route.spec.type == "unicast"
            if (hop := _hop_by(index, payload, objects)) is not None
        )
        if not found:
            return seen
        _, _, spec, hop = found[0]
        source = spec.source if isinstance(spec.source, IPv4Address) else None
        return replace(seen, gateway=hop.gateway or ON_THE_LINK, on_link=hop.on_link, source=source, mtu=spec.mtu)


async def _nexthop_objects(rtnl: Rtnl) -> Mapping[int, list[Hop]]:
    return hops_of_objects(payload for _, payload in await rtnl.dump(RTM_GETNEXTHOP, NHMSG.pack(0, 0, 0, 0)))


def _object_of(payload: memoryview) -> int:
    """Return the nexthop object that alone says the hops of a route; 0 for none."""
    found = attrs(payload, RTMSG.size)
    told = next(hops(found, 0), None) is not None
    return 0 if told or RTA_NH_ID not in found else u32(found[RTA_NH_ID])


def _hop_by(index: int, payload: memoryview, objects: Mapping[int, list[Hop]]) -> Hop | None:
    """Return the first hop of a route that leaves by the link with that index."""
    found = attrs(payload, RTMSG.size)
    told = [*hops(found, RTMSG.unpack_from(payload)[8]), *objects.get(_object_of(payload), ())]
    return next((hop for hop in told if hop.index == index), None)
