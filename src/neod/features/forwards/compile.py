"""``[forwards]``: a relay hands packets on, unmodified but for their addresses. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.nat import Dnat, Ip, NatRule, SnatTo
from neod.model.want import FactKey, Facts, Origin, Want

FORWARDING: Final = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
ON: Final = SysctlSpec("1")


def forwarding(version: int, origin: Origin) -> Want:
    """Return the sysctl that lets packets of an IP version pass through the host."""
    return Want(SysctlKey("", FORWARDING[version]), ON, origin)


@dataclass(frozen=True, slots=True)
class ForwardingFragment:
    """What a forward needs beside translation."""

    name: str  # ``forwards.proxy``
    version: int
    origin: Origin

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return nothing."""
        return ()

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield the sysctl."""
        yield forwarding(self.version, self.origin)

    def waits_for(self, facts: Facts) -> tuple[str, ...]:
        """Return nothing."""
        return ()


def forward_rules(
    dnat: Dnat,
    snat: Ip | str,
) -> tuple[NatRule, ...]:
    """Return the rules of one port or range; *snat* is ``masquerade``, ``none`` or an address."""
    if snat == "none":
        return (dnat,)
    first, last = (dnat.to_port, dnat.to_port) if dnat.to_port else (dnat.first, dnat.last)
    by = None if isinstance(snat, str) else snat
    return dnat, SnatTo(dnat.protocol, first, last, dnat.to, by)
