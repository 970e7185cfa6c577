"""Uplinks that somebody else configures: their addresses and gateway become facts."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from neod.kinds import KINDS
from neod.kinds.route import MAIN_TABLE
from neod.kinds.route_default import foreign_default
from neod.model.errors import KernelError
from neod.model.facts import Followed
from neod.model.key import AddressKey, Key
from neod.model.kind import path_of
from neod.model.ports import Rtnl
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
        name = path_of(KINDS[key.kind], key, None, IN_MAIN_TABLE)
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
        """Add the best foreign default route by the link in the main table."""
        try:
            default = await foreign_default(rtnl, seen.link)
        except KernelError:
            self._dirty = True
            return replace(self._facts.get(seen.link, seen), addresses=seen.addresses)
        if default is None:
            return seen
        gateway = default.gateway or ON_THE_LINK
        return replace(seen, gateway=gateway, on_link=default.on_link, source=default.source, mtu=default.mtu)
