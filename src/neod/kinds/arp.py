"""ARP on the NIC below macvlans: whoever asks for an address of a macvlan must get the macvlan's MAC, and no other.

By default Linux answers for every address of the host on every interface, the NIC among them, and the first answer is
what peers keep. ``arp_ignore`` on the NIC stops that, and with it the answers for addresses that others keep elsewhere
on the host and the segment reaches by the NIC: a service address on ``lo``, a virtual address on a bridge. So requests
for our addresses alone are dropped there, by a table of nftables' family arp. A kernel without it has ``arp_ignore``,
which is set only where it cuts nothing off.
"""

import errno
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from typing import ClassVar, Final

from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import ArpKey
from neod.model.kind import Entry, Kind, Poll, Source
from neod.model.marks import PROTOCOL
from neod.model.ports import ArpElement, Ports
from neod.model.shown import IF_UNUSUAL
from neod.netlink.attributes import AF_INET, attrs
from neod.netlink.rtnetlink import IFADDR, RTM_GETADDR

IFA_LOCAL, IFA_PROTO = 2, 11
SCOPE_LINK: Final = 253
LOOPBACK: Final = "lo"


@dataclass(frozen=True, slots=True)
class ArpSpec:
    """That it is so; *whole* is false where rules are missing that make it so."""

    whole: bool = field(default=True, metadata=IF_UNUSUAL)
    link: str = field(default="", compare=False)  # which has the address


class ArpKind(Kind[ArpKey, ArpSpec]):
    """Each NIC and each address by itself: an address waits for its own, and nothing is computed for all."""

    name: ClassVar[str] = "arp"
    source: ClassVar[Source | None] = Source.NFTABLES
    only_in_main: ClassVar[bool] = True
    poll: ClassVar[Poll | None] = Poll(1.0, cheap=True)  # for arp_ignore: of a table, events tell

    def path(self, key: ArpKey, spec: ArpSpec | None, tables: Mapping[int, str]) -> str:
        """An address is of its link's path."""
        return spec.link if spec else ""

    def address(self, key: ArpKey) -> IPv4Address | None:
        """What the kernel has does not tell whose address it is."""
        return IPv4Address(key.name) if key.sort == "address" else None


class ArpDriver:
    """The elements of the table, or the sysctl where the kernel has no such table."""

    def __init__(self, ports: Ports) -> None:
        self._netns, self._port = ports.netns, ports.netfilter
        self._without_table = ArpIgnore(ports)
        self._fallback = self._without_table.in_use()

    async def observe(self, keys: Collection[ArpKey]) -> Mapping[ArpKey, Seen[ArpSpec]]:
        """Read the table; without one, what is ignored."""
        found = dict(self._port.arp_read())
        if self._fallback:
            found |= {element: True for element in map(_element, keys) if element[0] == "address"}
            found |= await self._without_table.read({name for sort, name in map(_element, keys) if sort == "nic"})
        return {ArpKey(self._netns, *element): Seen(ArpSpec(whole), True) for element, whole in found.items()}

    async def observe_all(self, wanted: Collection[ArpKey]) -> Mapping[ArpKey, Seen[ArpSpec]]:
        """Read all that is in the table."""
        return await self.observe(wanted)

    def fingerprint(self) -> object:
        """Return nothing, for events tell of a table; of sysctls, something new each time."""
        return object() if self._fallback else None

    async def put(self, items: Sequence[tuple[ArpKey, ArpSpec, ArpSpec | None]]) -> Sequence[KernelError | None]:
        """Add every element in one transaction."""
        elements = [_element(key) for key, _, _ in items]
        try:
            self._fallback = not self._port.arp_change(elements, ())
            if self._fallback:
                return [await self._without_table.put(name) if sort == "nic" else None for sort, name in elements]
            return [self._without_table.drop(name) if sort == "nic" else None for sort, name in elements]
        except KernelError as error:
            return [error] * len(items)

    async def drop(self, keys: Sequence[ArpKey]) -> Sequence[KernelError | None]:
        """Remove every element in one transaction, and with the last the table."""
        elements = [_element(key) for key in keys]
        try:
            self._port.arp_change((), elements)
            return [self._without_table.drop(name) if sort == "nic" else None for sort, name in elements]
        except KernelError as error:
            return [error] * len(keys)


def _element(key: ArpKey) -> ArpElement:
    return key.sort, key.name


class ArpIgnore:
    """``arp_ignore`` of NICs that are somebody else's."""

    def __init__(self, ports: Ports) -> None:
        self._rtnl, self._sysctls = ports.rtnl, ports.sysctls

    def in_use(self) -> bool:
        return any(path.startswith(NOTE) for path in self._sysctls.originals())

    async def read(self, asked: Collection[str]) -> dict[ArpElement, bool]:
        """Return those of *asked*, and those set by us, that ignore; and whether that cuts nothing off."""
        ours = {path.removeprefix(NOTE) for path in self._sysctls.originals() if path.startswith(NOTE)}
        found = {}
        for nic in {*asked, *ours}:
            values = self._sysctls.read([_path("all"), _path(nic)]).values()
            if any(value != "0" for value in values):
                found["nic", nic] = nic not in ours or not await self._cut_off(nic)
        return found

    async def put(self, nic: str) -> KernelError | None:
        """Make *nic* ignore requests for addresses of other links, unless those include an address of somebody else."""
        path, originals = _path(nic), self._sysctls.originals()
        there = self._sysctls.read([path]).get(path, "0")
        if there != "0" and not originals.keys() & {path, NOTE + nic}:
            return None  # somebody else wants it
        if cut_off := await self._cut_off(nic):
            self.drop(nic)
            why = f"this kernel has no nftables of family arp, and arp_ignore on {nic} would cut off {cut_off}"
            return KernelError("arp", errno.EBUSY, f"{why}; write it under [sysctl] if that is wanted")
        try:
            if NOTE + nic not in originals:  # an older neo's note goes over into ours, with the value that it found
                self._sysctls.remember({NOTE + nic: originals.get(path, there), path: None})
            if there == "0":
                self._sysctls.write(path, "1")
        except KernelError as error:
            return error
        return None

    def drop(self, nic: str) -> KernelError | None:
        """Put the value back that was found."""
        before = self._sysctls.originals().get(NOTE + nic)
        try:
            if before is not None and self._sysctls.read([_path(nic)]):
                self._sysctls.write(_path(nic), before)
            self._sysctls.remember({NOTE + nic: None})
        except KernelError as error:
            return error
        return None

    async def _cut_off(self, nic: str) -> str:
        """Return an address of somebody else that the segment may reach by *nic* and could no longer; empty for none.

        It is one on the loopback, one that stands alone, or one in a subnet of the NIC.
        """
        dumped = await self._rtnl.dump(RTM_GETADDR, IFADDR.pack(AF_INET, 0, 0, 0, 0))
        found = [one for _, payload in dumped if (one := self._address(payload))]
        nets = [address.network for link, address in found if link == nic]
        for link, address in found:
            if link != nic and (
                link == LOOPBACK or address.network.prefixlen == 32 or any(address.ip in net for net in nets)
            ):
                return f"{address.ip} of {link}"
        return ""

    def _address(self, payload: memoryview) -> tuple[str, IPv4Interface] | None:
        """Return link and address; None for what is ours, and for what the segment cannot ask for."""
        _, prefix_length, _, scope, index = IFADDR.unpack_from(payload)
        found, link = attrs(payload, IFADDR.size), self._rtnl.name_of(index)
        ours = IFA_PROTO in found and found[IFA_PROTO][0] == PROTOCOL
        if link is None or ours or scope >= SCOPE_LINK or IFA_LOCAL not in found:
            return None
        return link, IPv4Interface((IPv4Address(bytes(found[IFA_LOCAL])), prefix_length))


NOTE: Final = "arp_ignore of "
"""Begins what the value found before is kept by: not the sysctl's own path, for then it would go as not desired."""


def _path(link: str) -> str:
    return f"net/ipv4/conf/{link}/arp_ignore"


ENTRIES: Final = (Entry(ArpKind(), ArpDriver),)
