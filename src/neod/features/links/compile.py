"""One link of ``[links]``, and the ports that it has. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from neod.features import link_mtu
from neod.features.mac import mac_of, waits_for_mac
from neod.kinds.link import LinkKey, LinkSpec
from neod.kinds.link_port import PortKey, PortSpec
from neod.model.want import HOST, FactKey, Facts, Fragment, Origin, Want

MIIMON_MS: Final = 100
"""How often a bond looks at the carrier of its ports. The kernel's own default is never.

Source: Documentation/networking/bonding.rst, "miimon".
"""


@dataclass(frozen=True, slots=True)
class LinkFragment(Fragment):
    """One link and its ports."""

    link: str
    kind: str  # vlan | bond | bridge | dummy
    parent: str  # of a vlan; empty otherwise
    options: tuple[tuple[str, str], ...]  # see ``neod.kinds.link_options``
    ports: tuple[str, ...]
    mac: str  # empty: derived from the machine id
    mtu: int | None  # bytes, at most; None: that of the parent, or the kernel's choice
    origin: Origin
    quiet: bool = False  # without IPv6

    @property
    def name(self) -> str:
        """Return ``links.ens3.100``."""
        return f"links.{self.link}"

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return the host, for a derived MAC, and the NIC below, for its MTU."""
        host = () if self.mac else (HOST,)
        return (*host, FactKey("nic", self.parent)) if self.parent else host

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield the link and what is a port of it; nothing before its MAC is known."""
        if mac := mac_of(self.link, self.mac, facts):
            mtu = link_mtu.lowest(self.mtu, self.parent, facts)
            parent = self.parent or None
            spec = LinkSpec(self.kind, self.link, parent, None, mac, mtu, options=self.options, quiet=self.quiet)
            yield Want(LinkKey("", self.link), spec, self.origin)
            for port in self.ports:
                yield Want(PortKey("", port), PortSpec(self.link), self.origin)

    def waits_for(self, facts: Facts) -> tuple[str, ...]:
        """Return the machine id, where it is missing."""
        return waits_for_mac(self.link, self.mac, facts)

    def remarks(self, facts: Facts) -> tuple[str, ...]:
        """Return that the MTU of the file is too large, where it is."""
        return link_mtu.remark(self.mtu, self.parent, facts, self.origin)
