"""Links that neo creates: macvlans on a NIC. Existing NICs are seen, never touched."""

import errno
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from struct import Struct
from typing import ClassVar, Final

from neod.kinds.link_pair import Pairs
from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Key, LinkKey, NetnsKey
from neod.model.kind import Entry, Kind, LinkNews, Mention, Names
from neod.model.marks import DOOMED_GROUP, LINK_GROUP
from neod.model.ports import Ports
from neod.netlink.attributes import attr, attr_text, attr_u32, attrs, mac_bytes, mac_text, nest, text, u32
from neod.netlink.message import NLM_F_CREATE, NLM_F_EXCL
from neod.netlink.rtnetlink import IFINFO, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, RTNLGRP_LINK

__all__ = ["LinkDriver", "LinkKey", "LinkKind", "LinkSpec"]

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_LINKINFO = 1, 3, 4, 5, 18
IFLA_IFALIAS, IFLA_GROUP, IFLA_EXT_MASK = 20, 27, 29
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_MACVLAN_MODE = 1, 2, 1
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
ATTRIBUTE: Final = Struct("=HH")
SKIP_STATS: Final = attr_u32(IFLA_EXT_MASK, 1 << 3)
MODES: Final = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
MODE_NAMES: Final = {number: name for name, number in MODES.items()}
ALIAS_PREFIX: Final = "neo:"
LOOPBACK: Final = "lo"

ONE_BY_ONE: Final = 48
"""More links than this, and than a third of all, are read with one dump: one alone costs about twice its share."""


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """What a link should be. ``None`` leaves the kernel's choice alone."""

    driver: str  # macvlan, veth, dummy, bridge (IFLA_INFO_KIND); empty for a physical NIC and the loopback
    name: str  # the name it has; differs from the key's only when somebody renamed it
    parent: str | None = None  # link name
    mode: str | None = None  # macvlan: private | vepa | bridge
    mac: str | None = None  # lower case, colons
    mtu: int | None = None  # bytes
    up: bool = True
    peer: LinkKey | None = None  # veth: the other end; of one that is observed, only its namespace is known


class LinkKind(Kind[LinkKey, LinkSpec]):
    """The pure half."""

    name: ClassVar[str] = "link"
    groups: ClassVar[tuple[int, ...]] = (RTNLGRP_LINK,)
    messages: ClassVar[tuple[int, ...]] = (RTM_NEWLINK, RTM_DELLINK)
    verbs: ClassVar[Mapping[int, str]] = {RTM_NEWLINK: "link set", RTM_DELLINK: "link del", RTM_GETLINK: "link get"}
    delete_before_create: ClassVar[bool] = True  # a name and, on one parent, a MAC can be held once
    create_fails_if_exists: ClassVar[bool] = True
    moves_addresses: ClassVar[bool] = True
    leads_path: ClassVar[bool] = True

    def matches(self, have: LinkSpec, want: LinkSpec) -> bool:
        """Whether all that *want* names is so."""
        return (have.driver, have.name, have.parent, have.up) == (want.driver, want.name, want.parent, want.up) and all(
            wanted is None or wanted == seen
            for wanted, seen in ((want.mode, have.mode), (want.mac, have.mac), (want.mtu, have.mtu), _far(have, want))
        )

    def in_place(self, have: LinkSpec, want: LinkSpec) -> bool:
        """A link cannot change its parent, where its other end is, or what it is."""
        wanted, seen = _far(have, want)
        return (have.driver, have.parent) == (want.driver, want.parent) and wanted in (None, seen)

    def requires(self, key: LinkKey, spec: LinkSpec) -> Iterable[Key]:
        """A macvlan needs its parent. Of a pair, the end outside is made with the other one in its namespace."""
        if spec.peer is not None:
            return (NetnsKey("", spec.peer.netns),) if spec.peer.netns else (spec.peer,)
        return (LinkKey(key.netns, spec.parent),) if spec.parent else ()

    def path(self, key: LinkKey, spec: LinkSpec | None, tables: Mapping[int, str]) -> str:
        """A link is its path's."""
        return key.name

    def keys_of_event(self, netns: str, message: int, payload: memoryview, names: Names) -> Iterable[Mention]:
        """Return the link by the name it has and by the name it had.

        One that is down, or gone, has lost its routes. A new link sends
        several messages, and its carrier more: of one that is up, all are
        alike, and show it whole.
        """
        _, _, index, flags, _ = IFINFO.unpack_from(payload)
        reading = from_wire(payload, attrs(payload, IFINFO.size), names)
        name, before, owned = reading.seen.spec.name, names(index), reading.seen.owned
        down = message == RTM_DELLINK or not flags & IFF_UP
        keys = [LinkKey(netns, one) for one in dict.fromkeys((name, before)) if one is not None]
        deep, shows = (keys, None) if down else ([], reading.seen)
        first, *others = (Mention(key, owned, tuple(deep)) for key in keys)
        return replace(first, shows=shows, same=before == name), *others

    def link_of_event(self, message: int, payload: memoryview) -> LinkNews | None:
        """Return index, name and carrier; a link that is gone has none."""
        _, _, index, flags, _ = IFINFO.unpack_from(payload)
        gone = message == RTM_DELLINK
        return LinkNews(index, name_in(payload), not gone and bool(flags & IFF_LOWER_UP), gone)

    def loses_dependents(self, before: Seen[LinkSpec] | None, after: Seen[LinkSpec] | None) -> bool:
        """The kernel drops addresses and routes with a link, and routes when it is set down."""
        return (before and before.spec.up) != (after and after.spec.up)


def _far(have: LinkSpec, want: LinkSpec) -> tuple[str | None, str | None]:
    """Return the namespaces where the other ends are; None where it is our own, which says nothing."""
    wanted = want.peer.netns if want.peer and want.peer.netns else None
    return wanted, have.peer.netns if have.peer else None


def _born_with(spec: LinkSpec) -> bool:
    """Whether the link comes into being with another one, outside, or with its namespace."""
    return spec.name == LOOPBACK or (spec.peer is not None and not spec.peer.netns)


def create_request(spec: LinkSpec, parent_index: int, other_end: bytes = b"") -> bytes:
    """Return the RTM_NEWLINK payload that makes the link, marked from its first moment."""
    parts = [IFINFO.pack(0, 0, 0, IFF_UP if spec.up else 0, IFF_UP)]
    parts += [attr_text(IFLA_IFNAME, spec.name), attr_u32(IFLA_GROUP, LINK_GROUP)]
    if parent_index:
        parts.append(attr_u32(IFLA_LINK, parent_index))
    if spec.mac:
        parts.append(attr(IFLA_ADDRESS, mac_bytes(spec.mac)))
    if spec.mtu:
        parts.append(attr_u32(IFLA_MTU, spec.mtu))
    parts.append(_link_info(spec, other_end))
    return b"".join(parts)


def _link_info(spec: LinkSpec, other_end: bytes = b"") -> bytes:
    kind = attr(IFLA_INFO_KIND, spec.driver.encode())
    data = [attr_u32(IFLA_MACVLAN_MODE, MODES[spec.mode])] if spec.mode else [other_end] if other_end else []
    return nest(IFLA_LINKINFO, [kind, nest(IFLA_INFO_DATA, data)] if data else [kind])


def change_request(index: int, have: LinkSpec, want: LinkSpec) -> bytes:
    """Return the RTM_NEWLINK payload that turns *have* into *want*; only what differs is named."""
    parts = [IFINFO.pack(0, 0, index, IFF_UP if want.up else 0, IFF_UP if have.up != want.up else 0)]
    if have.name != want.name:
        parts.append(attr_text(IFLA_IFNAME, want.name))
    if want.mac and have.mac != want.mac:
        parts.append(attr(IFLA_ADDRESS, mac_bytes(want.mac)))
    if want.mtu and have.mtu != want.mtu:
        parts.append(attr_u32(IFLA_MTU, want.mtu))
    if want.mode and have.mode != want.mode:
        parts.append(_link_info(want))
    return b"".join(parts)


def alias_request(index: int, key: LinkKey) -> bytes:
    """Return the payload that notes the key on the link: a rename is then seen as a rename."""
    return IFINFO.pack(0, 0, index, 0, 0) + attr(IFLA_IFALIAS, (ALIAS_PREFIX + key.name).encode())


@dataclass(frozen=True, slots=True)
class Reading:
    """One link as a message told it."""

    index: int
    alias: str
    seen: Seen[LinkSpec]


def from_wire(payload: memoryview, found: Mapping[int, memoryview], names: Names) -> Reading:
    """Return the link that an RTM_NEWLINK payload with the attributes *found* describes."""
    _, _, index, flags, _ = IFINFO.unpack_from(payload)
    driver, mode = "", None
    if IFLA_LINKINFO in found:
        info = attrs(found[IFLA_LINKINFO])
        driver = text(info[IFLA_INFO_KIND]) if IFLA_INFO_KIND in info else ""
        if driver == "macvlan" and IFLA_INFO_DATA in info:
            mode = MODE_NAMES.get(u32(attrs(info[IFLA_INFO_DATA])[IFLA_MACVLAN_MODE]))
    parent = names(u32(found[IFLA_LINK])) if IFLA_LINK in found and driver != "veth" else None
    spec = LinkSpec(
        driver,
        text(found[IFLA_IFNAME]),
        parent,
        mode,
        mac_text(found[IFLA_ADDRESS]) if IFLA_ADDRESS in found else None,
        u32(found[IFLA_MTU]) if IFLA_MTU in found else None,
        bool(flags & IFF_UP),
    )
    owned = IFLA_GROUP in found and u32(found[IFLA_GROUP]) == LINK_GROUP
    return Reading(index, text(found[IFLA_IFALIAS]) if IFLA_IFALIAS in found else "", Seen(spec, owned))


def name_in(payload: memoryview) -> str:
    """Return a link's name without parsing all of it: the kernel puts it first."""
    length, type_ = ATTRIBUTE.unpack_from(payload, IFINFO.size)
    if type_ == IFLA_IFNAME:
        return text(payload[IFINFO.size + 4 : IFINFO.size + length])
    return text(attrs(payload, IFINFO.size)[IFLA_IFNAME])


def by_key(netns: str, readings: Iterable[Reading]) -> dict[LinkKey, Reading]:
    """Return the links by key: one of ours that was renamed keeps the key its alias tells."""
    found = {LinkKey(netns, r.seen.spec.name): r for r in readings}
    for name_key, reading in list(found.items()):
        key = LinkKey(netns, reading.alias.removeprefix(ALIAS_PREFIX))
        if reading.seen.owned and reading.alias.startswith(ALIAS_PREFIX) and key not in found:
            found[key] = found.pop(name_key)
    return found


def named(name: str) -> bytes:
    """Return the payload that names a link and says no more."""
    return IFINFO.pack(0, 0, 0, 0, 0) + attr_text(IFLA_IFNAME, name)


def _with_peer(reading: Reading, pairs: Mapping[int, str]) -> Seen[LinkSpec]:
    if reading.index not in pairs:
        return reading.seen
    return replace(reading.seen, spec=replace(reading.seen.spec, peer=LinkKey(pairs[reading.index], "")))


class LinkDriver:
    """Links of one namespace."""

    def __init__(self, ports: Ports) -> None:
        self._netns, self._rtnl, self._strays = ports.netns, ports.rtnl, ports.strays
        self._pairs = Pairs(ports.rtnl, ports.namespaces)
        self._indexes: dict[LinkKey, int] = {}  # of ours; a renamed link has no name to find it by

    async def observe(self, keys: Collection[LinkKey]) -> Mapping[LinkKey, Seen[LinkSpec]]:
        """Read *keys* by name, or everything where that is cheaper."""
        if len(keys) > max(ONE_BY_ONE, self._rtnl.known() // 3):
            return await self.observe_all(keys)
        asked = list(keys)
        requests = [
            (RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + attr_text(IFLA_IFNAME, k.name) + SKIP_STATS) for k in asked
        ]
        payloads = []
        for key, answer in zip(asked, await self._rtnl.get(requests), strict=True):
            if isinstance(answer, KernelError):
                if answer.code != errno.ENODEV:
                    raise answer
                self._forget(key.name)
            else:
                payloads.append(answer[1])
        return self._read(payloads, await self._pairs.namespaces(payloads))

    async def observe_all(self, wanted: Collection[LinkKey]) -> Mapping[LinkKey, Seen[LinkSpec]]:
        """Read every link: any of them can be somebody's parent."""
        dumped = await self._rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + SKIP_STATS)
        payloads = [payload for _, payload in dumped]
        return self._read(payloads, await self._pairs.namespaces(payloads))

    def _read(self, payloads: Sequence[memoryview], pairs: Mapping[int, str]) -> dict[LinkKey, Seen[LinkSpec]]:
        parsed = [(payload, attrs(payload, IFINFO.size)) for payload in payloads]
        for payload, told in parsed:  # a parent may come after its child
            self._rtnl.learn(IFINFO.unpack_from(payload)[2], text(told[IFLA_IFNAME]))
        found = by_key(self._netns, (from_wire(payload, told, self._rtnl.name_of) for payload, told in parsed))
        for key, reading in found.items():
            self._rtnl.learn(reading.index, key.name)  # what is on a renamed link still belongs to its key
            if reading.seen.owned:
                self._indexes[key] = reading.index
        return {key: _with_peer(reading, pairs) for key, reading in found.items()}

    def _forget(self, name: str) -> None:
        self._indexes.pop(LinkKey(self._netns, name), None)
        index = self._rtnl.index_of(name)
        if index is not None:
            self._rtnl.learn(index, None)

    async def put(self, items: Sequence[tuple[LinkKey, LinkSpec, LinkSpec | None]]) -> Sequence[KernelError | None]:
        """Create or change every link, then note on each new one what it is."""
        items = await self._with_what_came_along(items)
        answers = await self._send(items)
        busy = [i for i, answer in enumerate(answers) if answer and answer.code in (errno.EADDRINUSE, errno.EBUSY)]
        for i in busy:
            key, spec, have = items[i]
            answers[i] = await self._put_after_making_room(key, spec, have)
        created = [
            key
            for (key, spec, have), answer in zip(items, answers, strict=True)
            if (have is None or _born_with(spec)) and answer is None
        ]
        if created:
            await self._note(created)
        return answers

    async def _with_what_came_along(
        self, items: Sequence[tuple[LinkKey, LinkSpec, LinkSpec | None]]
    ) -> Sequence[tuple[LinkKey, LinkSpec, LinkSpec | None]]:
        """Return *items* with the inner ends of pairs as they are: they were made with the outer ones."""
        born = {key for key, spec, have in items if have is None and _born_with(spec)}
        if not born:
            return items
        there = await self.observe(born)
        return [(key, spec, there[key].spec if key in there else have) for key, spec, have in items]

    async def _send(self, items: Sequence[tuple[LinkKey, LinkSpec, LinkSpec | None]]) -> list[KernelError | None]:
        answers: list[KernelError | None] = [None] * len(items)
        requests: list[tuple[int, int, bytes]] = []
        sent: list[int] = []
        with ExitStack() as until:
            for place, (key, spec, have) in enumerate(items):
                try:
                    requests.append(self._request(key, spec, have, until))
                    sent.append(place)
                except KernelError as error:
                    answers[place] = error
            for place, answer in zip(sent, await self._rtnl.send(requests), strict=True):
                answers[place] = answer
        return answers

    def _request(self, key: LinkKey, spec: LinkSpec, have: LinkSpec | None, until: ExitStack) -> tuple[int, int, bytes]:
        if have is not None:
            return RTM_NEWLINK, 0, change_request(self._indexes.get(key, 0), have, spec)
        if _born_with(spec):
            raise KernelError("link add", errno.ENODEV, f"{spec.peer or 'its namespace'} has to be made first")
        end = self._pairs.other_end(spec.peer, until) if spec.peer else b""
        parent = self._rtnl.index_of(spec.parent or "") or 0
        return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, create_request(spec, parent, end)

    async def _put_after_making_room(self, key: LinkKey, spec: LinkSpec, have: LinkSpec | None) -> KernelError | None:
        """A MAC in use on the parent may be our own link, moved to another namespace; a rename may want it down."""
        if have is None:
            parent = self._rtnl.index_of(spec.parent or "") or 0
            if not await self._strays.remove(ALIAS_PREFIX + key.name, spec.mac or "", parent):
                await self._rtnl.send([(RTM_DELLINK, 0, named(key.name))])  # created but could not come up
        elif have.name != spec.name:
            await self._rtnl.send([(RTM_NEWLINK, 0, IFINFO.pack(0, 0, self._indexes.get(key, 0), 0, IFF_UP))])
            have = replace(have, up=False)
        return (await self._send([(key, spec, have)]))[0]

    async def _note(self, created: Sequence[LinkKey]) -> None:
        """Learn the new indexes and write the alias: macvlan drops an alias given at creation."""
        if len(created) > ONE_BY_ONE:
            for _, payload in await self._rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + SKIP_STATS):
                self._rtnl.learn(IFINFO.unpack_from(payload)[2], name_in(payload))
            self._indexes |= {key: index for key in created if (index := self._rtnl.index_of(key.name))}
        else:
            await self.observe(created)
        requests = [
            (RTM_NEWLINK, 0, alias_request(index, key)) for key in created if (index := self._rtnl.index_of(key.name))
        ]
        await self._rtnl.send(requests)

    async def drop(self, keys: Sequence[LinkKey]) -> Sequence[KernelError | None]:
        """Delete every link; what is gone is done. A loopback cannot go, and is left.

        Many at once are gathered in a link group of their own, and the group
        is deleted: the kernel then waits for one grace period instead of one
        a link (1000 macvlans: 0.2 s instead of 94 s).
        """
        if LOOPBACK in (key.name for key in keys):
            rest = [key for key in keys if key.name != LOOPBACK]
            told = dict(zip(rest, await self.drop(rest), strict=True)) if rest else {}
            unmarked = await self._rtnl.send([(RTM_NEWLINK, 0, named(LOOPBACK) + attr_u32(IFLA_GROUP, 0))])
            return [told[key] if key in told else unmarked[0] for key in keys]
        targets = [self._target(key) for key in keys]
        if len(keys) > 2:
            moved = await self._rtnl.send([(RTM_NEWLINK, 0, t + attr_u32(IFLA_GROUP, DOOMED_GROUP)) for t in targets])
            whole_group = IFINFO.pack(0, 0, 0, 0, 0) + attr_u32(IFLA_GROUP, DOOMED_GROUP)
            deleted = (await self._rtnl.send([(RTM_DELLINK, 0, whole_group)]))[0]
            answers = [answer or deleted for answer in moved]
        else:
            answers = list(await self._rtnl.send([(RTM_DELLINK, 0, target) for target in targets]))
        for key, answer in zip(keys, answers, strict=True):
            if answer is None or answer.code == errno.ENODEV:
                self._forget(key.name)
        return [None if answer and answer.code == errno.ENODEV else answer for answer in answers]

    def _target(self, key: LinkKey) -> bytes:
        index = self._indexes.get(key)
        return IFINFO.pack(0, 0, index, 0, 0) if index else named(key.name)


ENTRIES: Final = (Entry(LinkKind(), LinkDriver),)
