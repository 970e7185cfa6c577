"""Every link of a namespace, whoever made it; which packets can leave by, and which have addresses. Reads only."""

from dataclasses import dataclass
from typing import Final

from neod.kinds.link_codec import IFLA_IFNAME, LOOPBACK, Links, from_wire, with_options
from neod.model.ports import Rtnl
from neod.netlink.attributes import attrs, text
from neod.netlink.rtnetlink import IFADDR, IFINFO, RTM_GETADDR, RTM_GETLINK, SKIP_STATS

UNIVERSE: Final = 0


async def all_links(rtnl: Rtnl, *, options: bool = False) -> Links:
    """Return every link that is there, those of others as well; with *options* the numbers of VLANs, too.

    Raises:
        KernelError: they could not be read.
    """
    dumped = await rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + SKIP_STATS)
    parsed = [(payload, attrs(payload, IFINFO.size)) for _, payload in dumped]
    names = {IFINFO.unpack_from(payload)[2]: text(found[IFLA_IFNAME]) for payload, found in parsed}
    readings = [(payload, from_wire(payload, found, names.get)) for payload, found in parsed]
    read = [with_options(payload, one, foreign=True) if options else one for payload, one in readings]
    return {one.seen.spec.name: one for one in read}


@dataclass(frozen=True, slots=True)
class UsableLink:
    """One interface that packets can leave by."""

    index: int
    name: str
    driver: str


async def usable_links(rtnl: Rtnl) -> list[UsableLink]:
    """Return the interfaces but for the loopback and ports of others.

    Raises:
        KernelError: they cannot be read.
    """
    links = await all_links(rtnl)
    return [
        UsableLink(one.index, name, one.seen.spec.driver)
        for name, one in links.items()
        if name != LOOPBACK and not one.seen.spec.master
    ]


async def with_address(rtnl: Rtnl) -> set[int]:
    """Return the indices of the interfaces that have an address beyond their own network.

    Raises:
        KernelError: they cannot be read.
    """
    heads = [IFADDR.unpack_from(one) for _, one in await rtnl.dump(RTM_GETADDR, IFADDR.pack(0, 0, 0, 0, 0))]
    return {index for _, _, _, scope, index in heads if scope == UNIVERSE}
