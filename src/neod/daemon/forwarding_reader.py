"""What packets can pass through this host: its interfaces, what leads to the targets of forwards, who else forwards."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from neod.features.forwarding import BY_LINK, FOR_ALL, Opening
from neod.features.intents import Intents
from neod.features.parts import PathInfo
from neod.kinds import KINDS
from neod.kinds.link_codec import LOOPBACK
from neod.kinds.link_list import UsableLink, usable_links, with_address
from neod.kinds.route_lookup import links_to
from neod.kinds.sysctl import moved
from neod.model.errors import KernelError
from neod.model.facts import Forwarding
from neod.model.key import Key
from neod.model.ports import Rtnl, Sysctls
from neod.model.want import FORWARDING, FactKey

NIC_DRIVERS: Final = frozenset(("", "veth", "vlan", "bond", "team", "macvlan", "ipvlan", "ppp", "ipoib", "wwan"))
"""What stands for a NIC. Bridges, tunnels and the like are others' networks: they are opened where the file names them,
or where they lead to the target of a forward."""


class ForwardingReader:
    """Makes the fact of it, when something moved that decides. Costs nothing where the file opens nothing."""

    def __init__(self) -> None:
        self._openings: tuple[Opening, ...] = ()
        self._paths: frozenset[str] = frozenset()
        self._macvlans: frozenset[str] = frozenset()
        self._fact: Forwarding | None = None
        self._dirty = False

    def want(self, intents: Intents) -> None:
        """Read for these openings from now on."""
        self._openings = intents.of(Opening)
        self._paths = frozenset(path.name for path in intents.of(PathInfo))
        self._macvlans = frozenset(path.name for path in intents.of(PathInfo) if path.parent)
        self._dirty = True

    def concerns(self, key: Key) -> bool:
        """Whether what is read may depend on an object. Macvlans, of which there may be a thousand, lead nowhere."""
        if key.netns or not self._openings:
            return False
        return KINDS[key.kind].opens(key, self._macvlans)

    def invalidate(self) -> None:
        """Read again at the next refresh."""
        self._dirty = True

    async def refresh(self, rtnl: Rtnl, sysctls: Sysctls) -> Mapping[FactKey, Forwarding]:
        """Return the fact if it changed since the last call."""
        if not (self._dirty and self._openings):
            return {}
        self._dirty = False
        try:
            fact = await Look(rtnl, sysctls).forwarding(self._openings, self._paths)
        except KernelError:
            self._dirty = True
            return {}
        if fact == self._fact:
            return {}
        self._fact = fact
        return {FORWARDING: fact}


class Look:
    """One look at the kernel."""

    def __init__(self, rtnl: Rtnl, sysctls: Sysctls) -> None:
        self._rtnl, self._sysctls = rtnl, sysctls

    async def forwarding(self, openings: Sequence[Opening], paths: Collection[str]) -> Forwarding:
        """Return the fact.

        Raises:
            KernelError: the kernel cannot be read.
        """
        inside = {opening.inside for opening in openings}
        seen = [one for one in await usable_links(self._rtnl) if one.name not in inside]
        targets = tuple(dict.fromkeys(one.to for one in openings if one.to is not None))
        exits = {ip: link for ip, link in (await links_to(self._rtnl, targets)).items() if link != LOOPBACK}
        nics = await self._nics(seen) if any(opening.anywhere for opening in openings) else ()
        links = tuple(sorted(one.name for one in seen))
        named = {link for opening in openings for link in opening.links}
        opened = {*named, *paths, *nics, *exits.values()}
        strangers = {one.name for one in seen if one.driver not in NIC_DRIVERS} - {*named, *exits.values()}
        ours = self._ours({one.index: one.name for one in seen})
        routing = frozenset(self._routing({*links, *opened}, strangers, ours))
        kept = tuple(version for version in FOR_ALL if strangers and FOR_ALL[version] in ours)
        return Forwarding(tuple(sorted(nics)), links, tuple(exits.items()), routing, kept)

    async def _nics(self, seen: Iterable[UsableLink]) -> tuple[str, ...]:
        """Return what clients may come in by. A pair that leads to somebody's container has no address here."""
        nics = [one for one in seen if one.driver in NIC_DRIVERS]
        if not any(one.driver == "veth" for one in nics):
            return tuple(one.name for one in nics)
        addressed = await with_address(self._rtnl)
        return tuple(one.name for one in nics if one.driver != "veth" or one.index in addressed)

    def _ours(self, names: Mapping[int, str]) -> Collection[str]:
        """Return what we switched on, by the names that links have now: it was off before the first write."""
        originals = self._sysctls.originals()
        return {path for path, value in {**originals, **moved(originals, names.get)}.items() if value == "0"}

    def _routing(
        self, links: Collection[str], strangers: Collection[str], ours: Collection[str]
    ) -> Iterator[tuple[int, str]]:
        """Yield the interfaces that pass packets on without us, those that are not there yet as the others' default."""
        for version, switch in FOR_ALL.items():
            for_all = self._sysctls.read([switch]).get(switch) == "1"
            if switch in ours:  # whoever relies on it has not said so
                routing = [link for link in links if for_all and link in strangers]
            elif version == 6 and for_all:
                routing = [link for link in links if BY_LINK[version].format(link) not in ours]
            else:
                routing = list(self._opened(version, links, ours))
            yield from ((version, link) for link in routing)

    def _opened(self, version: int, links: Iterable[str], ours: Collection[str]) -> Iterator[str]:
        """Yield the interfaces that are open, and were not opened by us."""
        default, paths = BY_LINK[version].format("default"), {BY_LINK[version].format(link): link for link in links}
        values = self._sysctls.read([default, *paths])
        for path, link in paths.items():
            if values.get(path, values.get(default, "0")) == "1" and path not in ours:
                yield link
