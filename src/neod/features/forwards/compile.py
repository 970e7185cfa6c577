"""``[forwards]``: a relay hands packets on, unmodified but for their addresses. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from neod.features.forwarding import forwarding
from neod.model.nat import Dnat, Ip, NatRule, SnatTo
from neod.model.want import Facts, Fragment, Origin, Want


@dataclass(frozen=True, slots=True)
class ForwardInfo:
    """One row of the forwards in ``neodctl status``."""

    name: str
    protocol: str
    ports: tuple[str, ...]
    to: str
    snat: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class ForwardingFragment(Fragment):
    """What a forward needs beside NAT."""

    name: str  # ``forwards.proxy``
    version: int
    origin: Origin

    def compile(self, facts: Facts) -> Iterator[Want]:
        yield forwarding(self.version, self.origin)


def forward_rules(dnat: Dnat, snat: Ip | str) -> tuple[NatRule, ...]:
    """Return the rules of one port or range; *snat* is ``masquerade``, ``none`` or an address."""
    if snat == "none":
        return (dnat,)
    first, last = (dnat.to_port, dnat.to_port) if dnat.to_port else (dnat.first, dnat.last)
    by = None if isinstance(snat, str) else snat
    return dnat, SnatTo(dnat.protocol, first, last, dnat.to, by)
