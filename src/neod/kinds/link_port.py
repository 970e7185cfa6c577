"""Ports: NICs of others that are put into a bond or a bridge of ours, and given back as they were.

Being a port leaves no place for a mark, so the NIC gets one: an alternative name, set before it is put in and taken
away after it is out. It says whether the NIC was up before, for a bond leaves its ports down. A port without it, or of
somebody else's bond or bridge, is foreign.
"""

import errno
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from neod.kinds.link_list import all_links
from neod.kinds.link_obstacles import of_port
from neod.model.change import Seen
from neod.model.errors import KernelError, Obstacle
from neod.model.key import Hashed, Key, LinkKey, within
from neod.model.kind import Entry, Kind, Mention, Names
from neod.model.marks import LINK_GROUP, PORT_ALTNAME
from neod.model.ports import Ports
from neod.model.shown import IF_UNUSUAL
from neod.netlink.attributes import NLA_F_NESTED, attr, attr_text, attr_u32, attrs, text, u32
from neod.netlink.rtnetlink import AF_BRIDGE, IFINFO, RTM_GETLINK, RTM_NEWLINK, RTNLGRP_LINK, SKIP_STATS, link_name

IFLA_IFNAME, IFLA_MASTER, IFLA_GROUP, IFLA_PROP_LIST, IFLA_ALT_IFNAME = 3, 10, 27, 52, 53
RTM_NEWLINKPROP, RTM_DELLINKPROP = 108, 109
IFF_UP: Final = 1
MARK: Final = PORT_ALTNAME.encode()

Requests = Mapping["PortKey", tuple[int, int, bytes]]
Errors = dict["PortKey", KernelError]


@dataclass(frozen=True, slots=True)
class PortKey(Hashed):
    """A NIC as a port: it can be one once."""

    kind: ClassVar[str] = "port"
    netns: str
    link: str

    def __str__(self) -> str:
        return f"port:{within(self.netns)}{self.link}"


@dataclass(frozen=True, slots=True)
class PortSpec:
    """What it is a port of."""

    master: str  # the name of the bond or bridge; empty for one of ours that was taken out
    up: bool = True
    marked: bool = field(default=True, metadata=IF_UNUSUAL)


class PortKind(Kind[PortKey, PortSpec]):
    """NICs as ports of the bonds and bridges that neo made."""

    name: ClassVar[str] = "port"
    groups: ClassVar[tuple[int, ...]] = (RTNLGRP_LINK,)
    messages: ClassVar[tuple[int, ...]] = (RTM_NEWLINK,)
    verbs: ClassVar[Mapping[int, str]] = {
        RTM_NEWLINKPROP: "link property add", RTM_DELLINKPROP: "link property del",
    }  # fmt: skip
    delete_before_create: ClassVar[bool] = True  # macvlans cannot be put on a port
    only_in_main: ClassVar[bool] = True

    def requires(self, key: PortKey, spec: PortSpec) -> Iterable[Key]:
        """A port needs the NIC, and what it is a port of."""
        nic = LinkKey(key.netns, key.link)
        return (nic, LinkKey(key.netns, spec.master)) if spec.master else (nic,)

    def reclaims(self, have: PortSpec, want: PortSpec, *, made: bool) -> bool:
        """A NIC that is in our bond or bridge as the file wants it has lost its mark only; elsewhere it is not ours."""
        return have.master == want.master and (made or not have.marked)

    def carries(self, key: PortKey, spec: PortSpec | None, tables: Mapping[int, str]) -> Iterable[str]:
        """The NIC loses its own addresses to what it is a port of."""
        return (key.link, spec.master) if spec else (key.link,)

    def path(self, key: PortKey, spec: PortSpec | None, tables: Mapping[int, str]) -> str:
        """A port is its bond's or bridge's."""
        return spec.master if spec else ""

    def conflict(self, have: PortSpec) -> str:
        """Return whose port the NIC is."""
        return f"it is a port of {have.master}, and neod did not put it there; take it out, or write another NIC"

    def keys_of_event(self, netns: str, message: int, payload: memoryview, names: Names) -> Iterable[Mention]:
        """Return the NIC. A bridge's own messages about it (AF_BRIDGE) are followed by one of the NIC."""
        if payload[0] == AF_BRIDGE:
            return ()
        return (Mention(PortKey(netns, link_name(payload)), MARK in bytes(payload)),)


@dataclass(frozen=True, slots=True)
class LinkSeen:
    """One link as a message shows it, as far as ports go."""

    index: int
    name: str
    up: bool
    group: int
    master: int  # index; 0: it is no port
    mark: str  # our alternative name; empty: none

    @property
    def was_up(self) -> bool:
        """Whether it was up before it became a port."""
        return self.mark.startswith(f"{PORT_ALTNAME}up")


def from_wire(payload: memoryview) -> LinkSeen:
    """Return what an RTM_NEWLINK payload says."""
    _, _, index, flags, _ = IFINFO.unpack_from(payload)
    found = attrs(payload, IFINFO.size)
    properties = bytes(found.get(IFLA_PROP_LIST, b""))
    at = properties.find(MARK)
    return LinkSeen(
        index,
        text(found[IFLA_IFNAME]),
        bool(flags & IFF_UP),
        u32(found[IFLA_GROUP]) if IFLA_GROUP in found else 0,
        u32(found[IFLA_MASTER]) if IFLA_MASTER in found else 0,
        properties[at:].split(b"\0", 1)[0].decode() if at >= 0 else "",
    )


def as_port(nic: LinkSeen, masters: Mapping[int, LinkSeen]) -> Seen[PortSpec] | None:
    """Return *nic* as a port; None if it is nobody's and never was ours. *masters*: by index."""
    if not (nic.master or nic.mark):
        return None
    master = masters.get(nic.master)
    ours = bool(nic.mark) and (master.group == LINK_GROUP if master else not nic.master)
    return Seen(PortSpec(master.name if master else "", nic.up, bool(nic.mark)), ours)


def property_request(nic: LinkSeen, verb: int) -> tuple[int, int, bytes]:
    """Return the request that sets our mark on *nic*, or takes it away."""
    mark = nic.mark or f"{PORT_ALTNAME}{'up' if nic.up else 'down'}-{nic.index}"
    names = attr(IFLA_PROP_LIST | NLA_F_NESTED, attr_text(IFLA_ALT_IFNAME, mark))
    return verb, 0, IFINFO.pack(0, 0, nic.index, 0, 0) + names


def master_request(nic: LinkSeen, master: int) -> tuple[int, int, bytes]:
    """Return the request that makes *nic* a port of the link with that index; 0 takes it out."""
    return RTM_NEWLINK, 0, IFINFO.pack(0, 0, nic.index, 0, 0) + attr_u32(IFLA_MASTER, master)


def state_request(nic: LinkSeen, *, up: bool) -> tuple[int, int, bytes]:
    """Return the request that sets *nic* up or down."""
    return RTM_NEWLINK, 0, IFINFO.pack(0, 0, nic.index, IFF_UP if up else 0, IFF_UP)


class PortDriver:
    def __init__(self, ports: Ports) -> None:
        self._netns, self._rtnl = ports.netns, ports.rtnl

    async def observe(self, keys: Collection[PortKey]) -> Mapping[PortKey, Seen[PortSpec]]:
        nics = await self._nics(keys)
        return self._ports(nics.values(), await self._masters(nics.values()))

    async def observe_all(self, wanted: Collection[PortKey]) -> Mapping[PortKey, Seen[PortSpec]]:
        """Read *wanted* and what bears our mark; with none of these a dump is all it costs."""
        dumped = await self._rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + SKIP_STATS)
        if not wanted and not any(MARK in bytes(payload) for _, payload in dumped):
            return {}
        nics = [from_wire(payload) for _, payload in dumped]
        names = {key.link for key in wanted}
        return self._ports((n for n in nics if n.mark or n.name in names), {nic.index: nic for nic in nics})

    def _ports(self, nics: Iterable[LinkSeen], masters: Mapping[int, LinkSeen]) -> dict[PortKey, Seen[PortSpec]]:
        found = ((PortKey(self._netns, nic.name), as_port(nic, masters)) for nic in nics)
        return {key: seen for key, seen in found if seen is not None}

    async def _nics(self, keys: Collection[PortKey]) -> dict[PortKey, LinkSeen]:
        asked = list(keys)
        read = await self._get([IFINFO.pack(0, 0, 0, 0, 0) + attr_text(IFLA_IFNAME, key.link) for key in asked])
        return {key: nic for key, nic in zip(asked, read, strict=True) if nic is not None}

    async def _masters(self, nics: Iterable[LinkSeen]) -> dict[int, LinkSeen]:
        indexes = sorted({nic.master for nic in nics if nic.master})
        read = await self._get([IFINFO.pack(0, 0, index, 0, 0) for index in indexes])
        return {nic.index: nic for nic in read if nic is not None}

    async def _get(self, payloads: Sequence[bytes]) -> list[LinkSeen | None]:
        found: list[LinkSeen | None] = []
        for answer in await self._rtnl.get([(RTM_GETLINK, payload + SKIP_STATS) for payload in payloads]):
            if isinstance(answer, KernelError) and answer.code != errno.ENODEV:
                raise answer
            found.append(None if isinstance(answer, KernelError) else from_wire(answer[1]))
        return found

    async def put(self, items: Sequence[tuple[PortKey, PortSpec, PortSpec | None]]) -> Sequence[KernelError | None]:
        """Mark each NIC, put it in, and set it up or down."""
        wanted = {key: spec for key, spec, _ in items}
        nics = await self._nics(wanted)
        failed = {key: KernelError("link get", errno.ENODEV, f"there is no {key.link}") for key in wanted.keys() - nics}
        failed |= _taken(nics, await self._masters(nics.values()))
        nics = {key: nic for key, nic in nics.items() if key not in failed}
        failed |= await self._send(
            {k: property_request(nic, RTM_NEWLINKPROP) for k, nic in nics.items() if not nic.mark}
        )
        failed |= await self._enslave({key: nic for key, nic in nics.items() if key not in failed}, wanted)
        rest = {key: nic for key, nic in nics.items() if key not in failed}
        failed |= await self._send({key: state_request(nic, up=wanted[key].up) for key, nic in rest.items()})
        return [failed.get(key) for key in wanted]

    async def explain(self, refused: Sequence[tuple[PortKey, PortSpec, KernelError]]) -> Sequence[Obstacle | None]:
        links = await all_links(self._rtnl)
        return [of_port(self._netns, key.link, spec.master, error, links) for key, spec, error in refused]

    async def _enslave(self, nics: Mapping[PortKey, LinkSeen], wanted: Mapping[PortKey, PortSpec]) -> Errors:
        """Put each in. A bond takes none that is up: that one is set down before, and up again where it fails."""
        masters = {key: self._rtnl.index_of(wanted[key].master) or 0 for key in nics}
        requests = {key: master_request(nic, masters[key]) for key, nic in nics.items()}
        failed = await self._send(requests)
        too_early = [key for key, error in failed.items() if error.code == errno.EPERM]
        await self._send({key: state_request(nics[key], up=False) for key in too_early})
        again = await self._send({key: requests[key] for key in too_early})
        await self._send({key: state_request(nics[key], up=True) for key in again})
        return {key: error for key, error in failed.items() if key not in too_early} | again

    async def drop(self, keys: Sequence[PortKey]) -> Sequence[KernelError | None]:
        """Take each NIC of ours out, set it up or down as it was, and take the mark away."""
        nics = {key: nic for key, nic in (await self._nics(keys)).items() if nic.mark}
        masters = await self._masters(nics.values())
        ours = {key: nic for key, nic in nics.items() if _is_ours(nic, masters)}
        failed = await self._send({key: master_request(nic, 0) for key, nic in ours.items() if nic.master})
        out = {key: nic for key, nic in ours.items() if key not in failed}
        failed |= await self._send({key: state_request(nic, up=nic.was_up) for key, nic in out.items()})
        bare = {key: nic for key, nic in nics.items() if key not in failed}
        failed |= await self._send({key: property_request(nic, RTM_DELLINKPROP) for key, nic in bare.items()})
        return [error if (error := failed.get(key)) and error.code != errno.ENODEV else None for key in keys]

    async def _send(self, requests: Requests) -> Errors:
        """Send all at once and return the refusals; a mark that is there is none."""
        answers = await self._rtnl.send(list(requests.values())) if requests else ()
        pairs = zip(requests, answers, strict=True)
        return {key: answer for key, answer in pairs if answer is not None and answer.code != errno.EEXIST}


def _is_ours(nic: LinkSeen, masters: Mapping[int, LinkSeen]) -> bool:
    """Whether *nic* may be taken out: it is a port of a link of ours, or of none."""
    return not nic.master or (nic.master in masters and masters[nic.master].group == LINK_GROUP)


def _taken(nics: Mapping[PortKey, LinkSeen], masters: Mapping[int, LinkSeen]) -> Errors:
    """Return a refusal for each that became the port of somebody else since it was read: the kernel would move it."""
    holders = {key: masters.get(nic.master) for key, nic in nics.items() if not _is_ours(nic, masters)}
    texts = {key: f"{key.link} is a port of {holder.name if holder else 'another'}" for key, holder in holders.items()}
    return {key: KernelError("link set master", errno.EBUSY, text) for key, text in texts.items()}


ENTRIES: Final = (Entry(PortKind(), PortDriver),)
