"""The interfaces that packets can leave by, and which have addresses. Reads only."""

from dataclasses import dataclass
from typing import Final

from neod.kinds.link_codec import IFLA_MASTER, LOOPBACK, from_wire
from neod.model.ports import Rtnl
from neod.netlink.attributes import attrs
from neod.netlink.rtnetlink import IFADDR, IFINFO, RTM_GETADDR, RTM_GETLINK, SKIP_STATS

UNIVERSE: Final = 0


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
    usable = []
    for _, payload in await rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + SKIP_STATS):
        found = attrs(payload, IFINFO.size)
        reading = from_wire(payload, found, rtnl.name_of)
        if IFLA_MASTER not in found and reading.seen.spec.name != LOOPBACK:
            usable.append(UsableLink(reading.index, reading.seen.spec.name, reading.seen.spec.driver))
    return usable


async def with_address(rtnl: Rtnl) -> set[int]:
    """Return the indices of the interfaces that have an address beyond their own network.

    Raises:
        KernelError: they cannot be read.
    """
    heads = [IFADDR.unpack_from(one) for _, one in await rtnl.dump(RTM_GETADDR, IFADDR.pack(0, 0, 0, 0, 0))]
    return {index for _, _, _, scope, index in heads if scope == UNIVERSE}
