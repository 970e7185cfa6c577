"""``[forwards]``: a relay hands packets on, unmodified but for their addresses. Pure."""

from dataclasses import dataclass

from neod.model.nat import Dnat, Ip, NatRule, SnatTo
from neod.model.want import Origin


@dataclass(frozen=True, slots=True)
class ForwardInfo:
    """One row of the forwards in ``neodctl status``."""

    name: str
    protocol: str
    ports: tuple[str, ...]
    to: str
    snat: str
    origin: Origin


def forward_rules(dnat: Dnat, snat: Ip | str) -> tuple[NatRule, ...]:
    """Return the rules of one port or range; *snat* is ``masquerade``, ``none`` or an address."""
    if snat == "none":
        return (dnat,)
    first, last = (dnat.to_port, dnat.to_port) if dnat.to_port else (dnat.first, dnat.last)
    by = None if isinstance(snat, str) else snat
    return dnat, SnatTo(dnat.protocol, first, last, dnat.to, by)
