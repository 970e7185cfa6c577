"""The facts in force: leases, NICs, followed uplinks, MPTCP, the host; and desired state, kept in line with them."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address

from neod.daemon.forwarding_reader import ForwardingReader
from neod.daemon.mptcp_controller import MptcpController
from neod.daemon.uplink_follower import UplinkFollower
from neod.features.intents import Intents
from neod.features.parts import followed_links, paths_by_table
from neod.model.facts import DhcpClient, Nic
from neod.model.key import AddressKey, Key, LinkKey
from neod.model.ports import Ports
from neod.model.want import Fact, FactKey
from neod.reconcile.state import HostState


class FactCollector:
    """The ``FactSource`` of the passes. Each change compiles the fragments that need the fact, and no others."""

    def __init__(
        self,
        state: HostState,
        known: dict[FactKey, Fact],
        follower: UplinkFollower,
        forwarding: ForwardingReader,
        ports: Ports,
        mptcp: MptcpController,
    ) -> None:
        self._state, self.known, self._mptcp = state, known, mptcp
        self._follower, self._forwarding, self._ports = follower, forwarding, ports
        self._tables: dict[int, str] = {}
        self._leased: frozenset[str] = frozenset()
        self._parents: frozenset[str] = frozenset()

    def adopt(self, intents: Intents) -> set[Key]:
        """Work for *intents*; return the keys whose desired spec changed by that."""
        self._tables = paths_by_table(intents)
        self._leased = frozenset(client.link for client in intents.of(DhcpClient))
        needs = (need for fragment in intents.fragments for need in fragment.needs)
        self._parents = frozenset(need.name for need in needs if need.kind == "nic")
        self._follower.want(followed_links(intents))
        self._forwarding.want(intents)
        return self._requested(self._state.desired.replace(intents.fragments, self.known))

    @property
    def tables(self) -> Iterable[int]:
        """The routing tables that are ours by the file."""
        return self._tables

    def update(self, changes: Mapping[FactKey, Fact | None]) -> set[Key]:
        """Take over *changes*, None for what is no longer so; return the keys whose desired spec changed."""
        for key, fact in changes.items():
            if fact is None:
                self.known.pop(key, None)
            else:
                self.known[key] = fact
        return self._requested(self._state.desired.update(changes, self.known))

    def _requested(self, keys: set[Key]) -> set[Key]:
        self._state.note_requested(keys)
        return keys

    async def refresh(self) -> Iterable[Key]:
        followed = await self._follower.refresh(self._state.observed, self._ports.rtnl)
        changes: dict[FactKey, Fact | None] = {FactKey("followed", link): fact for link, fact in followed.items()}
        changes |= self._nics(self._parents)
        changes |= await self._forwarding.refresh(self._ports.rtnl, self._ports.sysctls)
        changes |= self._mptcp.refresh(self._state.observed, self.known)
        return self.update(changes)

    def look_again(self) -> None:
        """Read at the next refresh what sends no event, too: routes to the targets of forwards."""
        self._forwarding.invalidate()

    def concern(self, keys: Iterable[Key]) -> bool:
        """Whether facts depend on what we changed ourselves: of that, no event tells."""
        if concerned := any(self._forwarding.concerns(key) for key in keys):
            self._forwarding.invalidate()
        return concerned

    def learn_all_nics(self) -> None:
        """Take over what was seen of links, before the file is known: desired state need not be compiled twice."""
        self.known |= self._nics(key.name for key in self._state.observed.named_by(LinkKey, ""))

    def _nics(self, links: Iterable[str]) -> dict[FactKey, Nic]:
        """Return the facts about NICs that are new."""
        seen = {link: self._state.observed.get(LinkKey("", link)) for link in links}
        mtus = {link: one.spec.mtu for link, one in seen.items() if one and one.spec.may_be_parent}
        found = {FactKey("nic", link): Nic(link, mtu) for link, mtu in mtus.items() if mtu}
        return {key: nic for key, nic in found.items() if self.known.get(key) != nic}

    def guards(self, key: Key) -> bool:
        """True if the key's path has no lease yet: do not prune, the server may return the same address."""
        if key.netns:
            return False
        seen = self._state.observed.get(key)
        kind = self._state.kind_of(key)
        name = kind.path(key, seen.spec if seen else None, self._tables) or self._link_with(kind.address(key))
        missing = name in self._leased and FactKey("lease", name) not in self.known
        return missing and not self._state.desired.suspended

    def _link_with(self, address: IPv4Address | IPv6Address | None) -> str:
        """Return the link that has *address* as one of ours; empty if none has."""
        if address is None:
            return ""
        ours = self._state.observed.named_by(AddressKey, "").items()
        return next((key.link for key, seen in ours if seen.owned and key.ip == address), "")
