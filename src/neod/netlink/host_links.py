"""The links of the calling thread's network namespace that answer ARP, by two dumps."""

from collections import defaultdict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from neod.netlink.attributes import attrs, number, text
from neod.netlink.host_addresses import host_addresses
from neod.netlink.rtnetlink import IFINFO, IFLA_IFNAME, RTM_GETLINK
from neod.netlink.socket import NETLINK_ROUTE, Connection

IFLA_LINK, IFLA_LINKINFO, IFLA_LINK_NETNSID, IFLA_INFO_KIND = 5, 18, 37, 1
IFF_UP, IFF_NOARP = 0x1, 0x80
ON_THE_SEGMENT: Final = ("macvlan", "macvtap", "ipvlan", "ipvtap")
"""Drivers whose links hear what is asked on the segment of the link below. A VLAN is another segment."""


@dataclass(frozen=True, slots=True)
class HostLink:
    """One that is up and does ARP."""

    name: str
    below: str = ""  # the link whose segment it is on
    networks: tuple[IPv4Network, ...] = ()  # of its addresses

    def hears(self, ip: IPv4Address, segment: str) -> bool:
        """Whether requests for an address on the segment of a link may reach it."""
        return self.below == segment or any(ip in network for network in self.networks)


def host_links() -> tuple[HostLink, ...]:
    """Return every one.

    Raises:
        OSError: they cannot be read.
    """
    with Connection(NETLINK_ROUTE) as connection:
        dumped = [payload for _, payload in connection.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0))]
    heads = [(IFINFO.unpack_from(payload), attrs(payload, IFINFO.size)) for payload in dumped]
    names = {head[2]: text(found[IFLA_IFNAME]) for head, found in heads}
    networks: defaultdict[str, list[IPv4Network]] = defaultdict(list)
    for one in host_addresses():
        if isinstance(one.ip, IPv4Address):
            networks[one.link].append(IPv4Network((one.ip, one.prefix_length), strict=False))
    answering = [(head[2], found) for head, found in heads if head[3] & (IFF_UP | IFF_NOARP) == IFF_UP]
    return tuple(HostLink(names[k], _below(found, names), tuple(networks[names[k]])) for k, found in answering)


def _below(found: dict[int, memoryview], names: dict[int, str]) -> str:
    info = attrs(found[IFLA_LINKINFO]) if IFLA_LINKINFO in found else {}
    here = IFLA_INFO_KIND in info and IFLA_LINK_NETNSID not in found
    return names.get(number(found, IFLA_LINK), "") if here and text(info[IFLA_INFO_KIND]) in ON_THE_SEGMENT else ""
