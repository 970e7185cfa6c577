"""Uplinks that somebody else configures: their addresses and gateway become facts."""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Final

from neod.kinds import KINDS
from neod.kinds.route import RTA_OIF, RTA_TABLE, from_wire
from neod.model.errors import KernelError
from neod.model.facts import Followed
from neod.model.key import AddressKey, Key
from neod.model.ports import Rtnl
from neod.netlink.attributes import attr_u32, family_of
from neod.netlink.rtnetlink import RTM_GETROUTE, RTMSG
from neod.reconcile.observed import Observed

MAIN_TABLE: Final = 254
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
        return Followed(link, tuple(addresses), await self._gateway(link, rtnl) if addresses else None)

    async def _gateway(self, link: str, rtnl: Rtnl) -> IPv4Address | None:
        """Return the gateway of the best foreign default route over *link* in the main table."""
        index = rtnl.index_of(link)
        if index is None:
            return None
        head = RTMSG.pack(family_of(4), 0, 0, 0, MAIN_TABLE, 0, 0, 0, 0)
        filters = attr_u32(RTA_TABLE, MAIN_TABLE) + attr_u32(RTA_OIF, index)
        try:
            dumped = await rtnl.dump(RTM_GETROUTE, head + filters)
        except KernelError:
            self._dirty = True
            return self._facts[link].gateway if link in self._facts else None
        routes = [reading for _, p in dumped if (reading := from_wire("", p, rtnl.name_of))]
        defaults = sorted(
            (key.metric, seen.spec.gateway)
            for key, seen in routes
            if key.dst.prefixlen == 0 and isinstance(seen.spec.gateway, IPv4Address) and not seen.owned
        )
        return defaults[0][1] if defaults else None
