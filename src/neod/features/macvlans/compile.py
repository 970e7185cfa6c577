"""One macvlan of ``[macvlans]``: the link and its sysctls; and what the NIC below it needs. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from neod.features import link_mtu
from neod.features.mac import mac_of, waits_for_mac
from neod.features.path import PROMOTE
from neod.kinds.arp import ArpSpec
from neod.kinds.link import LinkKey, LinkSpec
from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.key import ArpKey
from neod.model.want import HOST, FactKey, Facts, Fragment, Origin, Want

ONE_SEGMENT: Final = {"arp_ignore": SysctlSpec("1"), "arp_announce": SysctlSpec("2"), "rp_filter": SysctlSpec("2")}
"""What N addresses on one segment need of the macvlans. Their NIC is somebody else's, see ``neod.kinds.arp``.

arp_ignore 1: only the interface that has the address answers for it. By default all do, and the first answer is what
peers keep: one MAC for all addresses. arp_announce 2: requests name the address of the interface
that asks. rp_filter 2 (loose): the strict check drops what arrives before the rule and the table of an address exist,
or while they are being repaired; and since the kernel takes the larger of ``all`` and the interface, 2 is the only
value that means the same whatever ``all`` says.

Source: Documentation/networking/ip-sysctl.rst.
"""

MACVLAN_SYSCTLS: Final = {**ONE_SEGMENT, "promote_secondaries": PROMOTE}


def conf(link: str, values: dict[str, SysctlSpec], origin: Origin) -> Iterator[Want]:
    """Yield the IPv4 sysctls of one interface."""
    for name, spec in values.items():
        yield Want(SysctlKey("", f"net/ipv4/conf/{link}/{name}"), spec, origin)


@dataclass(frozen=True, slots=True)
class MacvlanFragment(Fragment):
    """One macvlan as a link. Its address is a ``PathFragment``: it changes with the lease, and this does not."""

    name: str  # ``macvlans.neo/neo3``
    link: str
    parent: str
    mode: str
    mac: str  # empty: derived from the machine id
    mtu: int | None  # bytes, at most; None: that of the parent
    origin: Origin
    quiet: bool = False  # without IPv6

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return the host, for a derived MAC, and the NIC, for its MTU."""
        return (FactKey("nic", self.parent),) if self.mac else (HOST, FactKey("nic", self.parent))

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield the link and its sysctls; nothing before its MAC is known."""
        if mac := mac_of(self.link, self.mac, facts):
            mtu = link_mtu.lowest(self.mtu, self.parent, facts)
            spec = LinkSpec("macvlan", self.link, self.parent, self.mode, mac, mtu, quiet=self.quiet)
            yield Want(LinkKey("", self.link), spec, self.origin)
            yield from conf(self.link, MACVLAN_SYSCTLS, self.origin)

    def waits_for(self, facts: Facts) -> tuple[str, ...]:
        """Return the machine id, where it is missing."""
        return waits_for_mac(self.link, self.mac, facts)

    def remarks(self, facts: Facts) -> tuple[str, ...]:
        """Return that the MTU of the file is too large, where it is."""
        return link_mtu.remark(self.mtu, self.parent, facts, self.origin)


@dataclass(frozen=True, slots=True)
class ParentFragment(Fragment):
    """The NIC below macvlans, which answers for no address of theirs. Nothing else about it is touched."""

    link: str
    origin: Origin

    @property
    def name(self) -> str:
        """Return ``macvlans/parent ens3``."""
        return f"macvlans/parent {self.link}"

    def compile(self, facts: Facts) -> Iterator[Want]:
        yield Want(ArpKey("", "nic", self.link), ArpSpec(), self.origin)
