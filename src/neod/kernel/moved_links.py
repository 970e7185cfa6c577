"""Links on NICs of our namespace that are in others: our own that somebody moved, and those of containers.

A macvlan keeps its MAC on the parent wherever it is moved, and a vlan its id,
so that a new one cannot come up, or not be made, while it exists.
"""

import asyncio
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from neod.model.marks import LINK_GROUP
from neod.netlink.attributes import attr_u32, attrs, mac_text, number, string
from neod.netlink.message import NLM_F_ACK, NetlinkError
from neod.netlink.netns import OWN, elsewhere, in_netns
from neod.netlink.rtnetlink import IFINFO, NETNSA_FD, NETNSA_NSID, RTGENMSG, RTM_DELLINK, RTM_GETLINK, RTM_GETNSID
from neod.netlink.socket import NETLINK_ROUTE, Connection

IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINK, IFLA_IFALIAS, IFLA_GROUP, IFLA_LINK_NETNSID = 1, 3, 5, 20, 27, 37
NOWHERE: Final = 0xFFFFFFFF

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LinkElsewhere:
    """A link of another namespace whose parent is in ours."""

    index: int
    name: str
    parent_index: int
    mac: str
    alias: str
    group: int

    def is_one_of(self, links: Collection[tuple[str, int]]) -> bool:
        """Whether we made it as one of *links*, alias and parent: it bears both of our marks."""
        return self.group == LINK_GROUP and (self.alias, self.parent_index) in links


class NetlinkMovedLinks:
    """The port ``MovedLinks``, over all namespaces that have a name, or a process in them."""

    async def remove(self, links: Collection[tuple[str, int]]) -> Collection[tuple[str, int]]:
        return await asyncio.to_thread(_remove, links)

    async def holders(self, parent_index: int) -> Mapping[str, str]:
        return await asyncio.to_thread(_holders, parent_index)


def _remove(links: Collection[tuple[str, int]]) -> set[tuple[str, int]]:
    gone: set[tuple[str, int]] = set()
    for _, found in _everywhere(lambda home: _delete(home, links)):
        gone.update(found)
        if len(gone) == len(links):
            break
    return gone


def _holders(parent_index: int) -> dict[str, str]:
    return {
        link.mac: f"{link.name} in the namespace {place}"
        for place, links in _everywhere(links_on)
        for link in links
        if link.parent_index == parent_index
    }


def _everywhere(look: Callable[[int], T]) -> Iterator[tuple[str, T]]:
    """Yield what *look* returns in each other namespace, given a descriptor of ours; one that cannot be read is not."""
    home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for name, path in elsewhere():
            with suppress(OSError):
                yield name, in_netns(path, lambda: look(home))
    finally:
        os.close(home)


def _delete(home: int, links: Collection[tuple[str, int]]) -> list[tuple[str, int]]:
    """Delete those of *links* that are in the calling thread's namespace."""
    found = [link for link in links_on(home) if link.is_one_of(links)]
    with Connection(NETLINK_ROUTE) as rtnl:
        answers = rtnl.exchange([(RTM_DELLINK, NLM_F_ACK, IFINFO.pack(0, 0, link.index, 0, 0)) for link in found])
    pairs = zip(found, answers, strict=True)
    return [(link.alias, link.parent_index) for link, answer in pairs if not isinstance(answer, NetlinkError)]


def links_on(home: int) -> list[LinkElsewhere]:
    """Return the links of the calling thread's namespace whose parents are in the namespace of the descriptor *home*.

    Raises:
        OSError: they cannot be read.
    """
    with Connection(NETLINK_ROUTE) as rtnl:
        (answer,) = rtnl.exchange([(RTM_GETNSID, 0, RTGENMSG.pack(0) + attr_u32(NETNSA_FD, home))])
        if isinstance(answer, NetlinkError) or answer is None:
            return []
        ours = number(attrs(answer[1], RTGENMSG.size), NETNSA_NSID, default=NOWHERE)
        if ours == NOWHERE:
            return []
        payloads = [payload for _, payload in rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0))]
    parsed = [(payload, attrs(payload, IFINFO.size)) for payload in payloads]
    return [_from_wire(p, found) for p, found in parsed if number(found, IFLA_LINK_NETNSID, default=NOWHERE) == ours]


def _from_wire(payload: memoryview, found: Mapping[int, memoryview]) -> LinkElsewhere:
    return LinkElsewhere(
        IFINFO.unpack_from(payload)[2],
        string(found, IFLA_IFNAME),
        number(found, IFLA_LINK),
        mac_text(found.get(IFLA_ADDRESS, memoryview(b""))),
        string(found, IFLA_IFALIAS),
        number(found, IFLA_GROUP),
    )
