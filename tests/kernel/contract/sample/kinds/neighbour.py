"""Permanent neighbour entries: the MAC address of a host on a link, with nobody asked for it."""

import errno
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final

from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Hashed, Key, LinkKey, within
from neod.model.kind import Entry, Kind, Mention, Names
from neod.model.marks import PROTOCOL
from neod.model.ports import Ports
from neod.netlink.attributes import Ip, attr, attrs, family_of, ip, mac_bytes, mac_text
from neod.netlink.message import NLM_F_CREATE, NLM_F_REPLACE
from neod.netlink.rtnetlink import RTM_DELNEIGH, RTM_GETNEIGH, RTM_NEWNEIGH, RTNLGRP_NEIGH

NDMSG: Final = Struct("=BxxxiHBB")  # family, index, state, flags, type
NDA_DST, NDA_LLADDR, NDA_PROTOCOL = 1, 2, 12
NUD_PERMANENT: Final = 0x80
FAMILIES: Final = (family_of(4), family_of(6))


@dataclass(frozen=True, slots=True)
class NeighbourKey(Hashed):
    """What makes two entries the same to the kernel."""

    kind: ClassVar[str] = "neighbour"
    netns: str
    link: str
    ip: Ip

    def __str__(self) -> str:
        return f"neighbour:{within(self.netns)}{self.link}/{self.ip}"


@dataclass(frozen=True, slots=True)
class NeighbourSpec:
    """What an entry should say."""

    mac: str  # lower case, colons


class NeighbourKind(Kind[NeighbourKey, NeighbourSpec]):
    """The pure half."""

    name: ClassVar[str] = "neighbour"
    groups: ClassVar[tuple[int, ...]] = (RTNLGRP_NEIGH,)
    messages: ClassVar[tuple[int, ...]] = (RTM_NEWNEIGH, RTM_DELNEIGH)
    verbs: ClassVar[Mapping[int, str]] = {RTM_NEWNEIGH: "neigh add", RTM_DELNEIGH: "neigh del"}

    def requires(self, key: NeighbourKey, spec: NeighbourSpec) -> Iterable[Key]:
        """An entry needs its link."""
        return (LinkKey(key.netns, key.link),)

    def path(self, key: NeighbourKey, spec: NeighbourSpec | None, tables: Mapping[int, str]) -> str:
        """An entry belongs to the path of its link."""
        return key.link

    def keys_of_event(self, netns: str, message: int, payload: memoryview, names: Names) -> Iterable[Mention]:
        """Return the entry that an event is about; while it is deleted, it is not permanent any more."""
        reading = from_wire(netns, payload, names)
        return (Mention(reading[0], reading[1].owned),) if reading else ()


def to_wire(key: NeighbourKey, index: int, mac: str = "") -> bytes:
    """Return the payload that makes the entry; without a MAC, one that names it."""
    head = NDMSG.pack(family_of(key.ip.version), index, NUD_PERMANENT, 0, 0)
    address = attr(NDA_LLADDR, mac_bytes(mac)) if mac else b""
    return head + attr(NDA_DST, key.ip.packed) + address + attr(NDA_PROTOCOL, bytes((PROTOCOL,)))


def from_wire(netns: str, payload: memoryview, names: Names) -> tuple[NeighbourKey, Seen[NeighbourSpec]] | None:
    """Return the entry that a payload describes; None on a link without a name, or in a bridge's table."""
    family, index, _, _, _ = NDMSG.unpack_from(payload)
    found = attrs(payload, NDMSG.size)
    link = names(index)
    if link is None or NDA_DST not in found or family not in FAMILIES:
        return None
    spec = NeighbourSpec(mac_text(found[NDA_LLADDR]) if NDA_LLADDR in found else "")
    owned = NDA_PROTOCOL in found and found[NDA_PROTOCOL][0] == PROTOCOL
    return NeighbourKey(netns, link, ip(found[NDA_DST])), Seen(spec, owned)


class NeighbourDriver:
    """Entries of one namespace."""

    def __init__(self, ports: Ports) -> None:
        self._netns, self._rtnl = ports.netns, ports.rtnl

    async def observe(self, keys: Collection[NeighbourKey]) -> Mapping[NeighbourKey, Seen[NeighbourSpec]]:
        """Read all entries."""
        return await self.observe_all(keys)

    async def observe_all(self, wanted: Collection[NeighbourKey]) -> Mapping[NeighbourKey, Seen[NeighbourSpec]]:
        """Read the permanent entries: what the kernel learnt by itself is in nobody's way."""
        dumped = await self._rtnl.dump(RTM_GETNEIGH, NDMSG.pack(0, 0, 0, 0, 0))
        permanent = (payload for _, payload in dumped if NDMSG.unpack_from(payload)[2] & NUD_PERMANENT)
        return dict(reading for p in permanent if (reading := from_wire(self._netns, p, self._rtnl.name_of)))

    async def put(
        self, items: Sequence[tuple[NeighbourKey, NeighbourSpec, NeighbourSpec | None]]
    ) -> Sequence[KernelError | None]:
        """Make every entry, in place of one that the kernel learnt."""
        flags = NLM_F_CREATE | NLM_F_REPLACE
        index = self._rtnl.index_of
        return await self._rtnl.send(
            [(RTM_NEWNEIGH, flags, to_wire(key, index(key.link) or 0, spec.mac)) for key, spec, _ in items]
        )

    async def drop(self, keys: Sequence[NeighbourKey]) -> Sequence[KernelError | None]:
        """Delete every entry; what is gone, or whose link is gone, is done."""
        index = self._rtnl.index_of
        answers = await self._rtnl.send([(RTM_DELNEIGH, 0, to_wire(key, index(key.link) or 0)) for key in keys])
        gone = (errno.ENOENT, errno.ENODEV, errno.EINVAL)
        return [None if e and e.code in gone else e for e in answers]


ENTRIES: Final = (Entry(NeighbourKind(), NeighbourDriver),)
