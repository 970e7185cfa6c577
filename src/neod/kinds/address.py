"""Addresses on links, with lifetimes that the kernel itself ends."""

import errno
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from struct import Struct
from typing import ClassVar, Final

from neod.kinds.address_routes import RTA_OIF, RTPROT_KERNEL, lacking, restore
from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.facts import FOREVER
from neod.model.key import AddressKey, ArpKey, Key, LinkKey, LocalKey
from neod.model.kind import Entry, Kind, Mention, Names
from neod.model.marks import PROTOCOL
from neod.model.ports import Ports
from neod.model.shown import AS_TIME_LEFT, IF_UNUSUAL, NEVER
from neod.netlink.attributes import attr, attr_u32, attrs, family_of, ip, u32
from neod.netlink.message import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from neod.netlink.rtnetlink import (
    IFADDR,
    RTM_DELADDR,
    RTM_DELROUTE,
    RTM_GETADDR,
    RTM_NEWADDR,
    RTMSG,
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV6_IFADDR,
)

__all__ = ["AddressDriver", "AddressKey", "AddressKind", "AddressSpec"]

IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS, IFA_PROTO = 1, 2, 6, 8, 11
IFA_F_NODAD: Final = 0x02
"""IPv6 only. While the kernel looks for duplicates, for a second or two, an address cannot be the source of a route."""

IFA_F_NOPREFIXROUTE: Final = 0x200
SCOPE_HOST: Final = 254
WORKQUEUE_S: Final = 0.05
"""IPv6 makes the route to a new address a moment later. Source: net/ipv6/addrconf.c, addrconf_dad_work."""

CACHEINFO: Final = Struct("=IIII")  # preferred, valid (seconds), created, updated
INFINITY_S: Final = 0xFFFFFFFF

LIFETIME_SLACK_S: Final = 5.0
"""The kernel counts whole seconds, and its ticks drift against CLOCK_BOOTTIME: a lease counts as kept within this."""

ONE_BY_ONE: Final = 24
"""More links than this, and than a third of all, are read with one dump a family."""


class Lost(StrEnum):
    """What the kernel made with an address, and somebody deleted."""

    NOTHING = ""
    ROUTES = "routes"  # ``put`` makes them again
    ALL = "routes, for good"  # a new address alone brings them back


@dataclass(frozen=True, slots=True)
class AddressSpec:
    """What an address should be; its lifetime is kept by the kernel, so that it ends without us."""

    valid_until: float = field(default=FOREVER, metadata=AS_TIME_LEFT)  # seconds of CLOCK_BOOTTIME
    # False: IFA_F_NOPREFIXROUTE, no route in the main table.
    prefix_route: bool = field(default=False, metadata=IF_UNUSUAL)
    # How much earlier the kernel's end may be: see ``slack``.
    slack_s: float = field(default=0.0, compare=False, metadata=NEVER)
    nic: str = field(default="", compare=False, metadata=NEVER)  # below its link: must not answer for it
    lost: Lost = Lost.NOTHING


def slack(granted_s: float) -> float:
    """Return how much earlier than the lease the kernel's lifetime may end before it is written again.

    The kernel's lifetime is a safety net if neod stops renewing. A sixteenth of what was granted: each renewal (at half
    time) writes it, and asking again after a restart, which moves the end by seconds, does not.
    """
    return 0.0 if granted_s == FOREVER else granted_s / 16


class AddressKind(Kind[AddressKey, AddressSpec]):
    """Addresses; one with another lifetime is replaced in place."""

    name: ClassVar[str] = "address"
    groups: ClassVar[tuple[int, ...]] = (RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR)
    messages: ClassVar[tuple[int, ...]] = (RTM_NEWADDR, RTM_DELADDR, RTM_DELROUTE)
    deletions: ClassVar[tuple[int, ...]] = (RTM_DELADDR,)
    verbs: ClassVar[Mapping[int, str]] = {RTM_NEWADDR: "addr add", RTM_DELADDR: "addr del", RTM_GETADDR: "addr get"}
    create_fails_if_exists: ClassVar[bool] = True
    moves_addresses: ClassVar[bool] = True
    read_first: ClassVar[bool] = True  # without a stored lease, the address on the link is asked for

    def opens(self, key: AddressKey, dead_ends: Collection[str]) -> bool:
        return key.link not in dead_ends

    def matches(self, have: AddressSpec, want: AddressSpec) -> bool:
        """Whether flags are equal and the lifetime is, within what the kernel can tell."""
        if have.prefix_route != want.prefix_route or have.lost:
            return False
        if have.valid_until == want.valid_until:
            return True
        early_s = want.valid_until - have.valid_until
        return -LIFETIME_SLACK_S <= early_s <= max(LIFETIME_SLACK_S, want.slack_s)

    def in_place(self, have: AddressSpec, want: AddressSpec) -> bool:
        """A lifetime can be replaced; IPv4 keeps the flags an address was made with."""
        return have.prefix_route == want.prefix_route and have.lost is not Lost.ALL

    def prolongs(self, have: AddressSpec, want: AddressSpec) -> bool:
        """A renewed lease keeps its address from running out in the kernel."""
        return self.in_place(have, want) and have.valid_until < want.valid_until

    def conflict(self, have: AddressSpec) -> str:
        """Return that the address is there."""
        return (
            "another program put this address on the link, with other flags or another lifetime; neod leaves it alone"
        )

    def requires(self, key: AddressKey, spec: AddressSpec) -> Iterable[Key]:
        """An address needs its link, and a NIC below that does not answer for it."""
        link = LinkKey(key.netns, key.link)
        if not spec.nic:
            return (link,)
        return link, ArpKey(key.netns, "nic", spec.nic), ArpKey(key.netns, "address", str(key.ip))

    def provides(self, key: AddressKey) -> Iterable[Key]:
        """An address is a local one, on whatever link."""
        return (LocalKey(key.netns, key.ip),)

    def carries(self, key: AddressKey, spec: AddressSpec | None, tables: Mapping[int, str]) -> Iterable[str]:
        return (key.link,)

    def path(self, key: AddressKey, spec: AddressSpec | None, tables: Mapping[int, str]) -> str:
        """An address belongs to the path of its link."""
        return key.link

    def names(self, key: AddressKey, spec: AddressSpec | None) -> Iterable[str]:
        """The address, with and without prefix length."""
        return (str(key.ip), f"{key.ip}/{key.prefix_length}")

    def keys_of_event(self, netns: str, message: int, payload: memoryview, names: Names) -> Iterable[Mention]:
        """Return the address; with one that is gone, the kernel deletes routes of its link without a message."""
        if message == RTM_DELROUTE:
            return _losers(netns, payload, names)
        reading = from_wire(netns, payload, names, 0.0)
        if reading is None:
            return ()
        key, seen = reading
        if message != RTM_DELADDR:
            return (Mention(key, seen.owned),)
        return (Mention(key, seen.owned, (key, LinkKey(netns, key.link))),)

    def columns(self, key: AddressKey, seen: Seen[AddressSpec] | None) -> Mapping[str, object]:
        """The address with its prefix length, also while it is not there."""
        return {"address": f"{key.ip}/{key.prefix_length}"}


def _unrouted(key: AddressKey, seen: Seen[AddressSpec]) -> Seen[AddressSpec]:
    """Return an address without what leads to it; the kernel's own, of a loopback that is wanted, counts as ours."""
    lost = Lost.ROUTES if key.ip.version == 4 else Lost.ALL
    return Seen(replace(seen.spec, lost=lost), seen.owned or key.ip.is_loopback)


def _losers(netns: str, payload: memoryview, names: Names) -> Iterable[Mention]:
    """Return the link of a route of the kernel's own: an address there may have lost what leads to it."""
    out = attrs(payload, RTMSG.size).get(RTA_OIF) if RTMSG.unpack_from(payload)[5] == RTPROT_KERNEL else None
    link = names(u32(out)) if out is not None else None
    return (Mention(LinkKey(netns, link), False, (LinkKey(netns, link),)),) if link else ()


def to_wire(key: AddressKey, spec: AddressSpec, index: int, now: float) -> bytes:
    """Return the RTM_NEWADDR payload; *now* is CLOCK_BOOTTIME in seconds."""
    left = INFINITY_S if spec.valid_until == FOREVER else max(1, min(round(spec.valid_until - now), INFINITY_S - 1))
    flags = (0 if spec.prefix_route else IFA_F_NOPREFIXROUTE) | (IFA_F_NODAD if key.ip.version == 6 else 0)
    return b"".join(
        (
            name_of(key, index),
            attr_u32(IFA_FLAGS, flags),
            attr(IFA_PROTO, bytes((PROTOCOL,))),
            attr(IFA_CACHEINFO, CACHEINFO.pack(left, left, 0, 0)),
        )
    )


def name_of(key: AddressKey, index: int) -> bytes:
    """Return the payload that names the address and says no more."""
    packed = key.ip.packed
    scope = SCOPE_HOST if key.ip.is_loopback else 0
    head = IFADDR.pack(family_of(key.ip.version), key.prefix_length, 0, scope, index)
    return head + attr(IFA_LOCAL, packed) + attr(IFA_ADDRESS, packed)


def from_wire(netns: str, payload: memoryview, names: Names, now: float) -> tuple[AddressKey, Seen[AddressSpec]] | None:
    """Return the address that an RTM_NEWADDR payload describes; None on a link without a name."""
    _, prefix_length, _, _, index = IFADDR.unpack_from(payload)
    found = attrs(payload, IFADDR.size)
    link = names(index)
    local = found.get(IFA_LOCAL, found.get(IFA_ADDRESS))
    if link is None or local is None:
        return None
    valid = CACHEINFO.unpack_from(found[IFA_CACHEINFO])[1] if IFA_CACHEINFO in found else INFINITY_S
    flags = u32(found[IFA_FLAGS]) if IFA_FLAGS in found else 0
    spec = AddressSpec(FOREVER if valid == INFINITY_S else now + valid, not flags & IFA_F_NOPREFIXROUTE)
    owned = IFA_PROTO in found and found[IFA_PROTO][0] == PROTOCOL
    return AddressKey(netns, link, ip(local), prefix_length), Seen(spec, owned)


class AddressDriver:
    def __init__(self, ports: Ports) -> None:
        self._netns, self._rtnl, self._clock = ports.netns, ports.rtnl, ports.clock
        self._made_at: dict[AddressKey, float] = {}  # CLOCK_BOOTTIME of IPv6 addresses made just now

    async def observe(self, keys: Collection[AddressKey]) -> Mapping[AddressKey, Seen[AddressSpec]]:
        """Read the links of *keys*: all their addresses come along."""
        links = {(key.link, key.ip.version) for key in keys}
        if len(links) > max(ONE_BY_ONE, self._rtnl.known() // 3):
            return await self.observe_all(keys)
        found: dict[AddressKey, Seen[AddressSpec]] = {}
        wanted = set(keys)
        for link, version in sorted(links):
            index = self._rtnl.index_of(link)
            if index is None:
                continue
            try:
                found |= await self._with_routes(await self._dump(version, index), wanted)
            except KernelError as error:
                if error.code != errno.ENODEV:
                    raise
        return found

    async def observe_all(self, wanted: Collection[AddressKey]) -> Mapping[AddressKey, Seen[AddressSpec]]:
        """Read every address of both families."""
        return await self._with_routes(await self._dump(4, 0) | await self._dump(6, 0), set(wanted))

    async def _with_routes(
        self, found: dict[AddressKey, Seen[AddressSpec]], wanted: Collection[AddressKey]
    ) -> dict[AddressKey, Seen[AddressSpec]]:
        """Note on addresses that are ours, or wanted, whether the kernel's routes of them are there."""
        ours = {key: seen.spec.prefix_route for key, seen in found.items() if seen.owned or key in wanted}
        lacks = await lacking(self._rtnl, ours) if ours else set()
        now = self._clock.boottime()
        lacks = {key for key in lacks if now - self._made_at.get(key, 0.0) > WORKQUEUE_S}
        return found | {key: _unrouted(key, found[key]) for key in lacks}

    async def _dump(self, version: int, index: int) -> dict[AddressKey, Seen[AddressSpec]]:
        dumped = await self._rtnl.dump(RTM_GETADDR, IFADDR.pack(family_of(version), 0, 0, 0, index))
        now = self._clock.boottime()
        readings = (from_wire(self._netns, payload, self._rtnl.name_of, now) for _, payload in dumped)
        return dict(reading for reading in readings if reading)

    async def put(
        self, items: Sequence[tuple[AddressKey, AddressSpec, AddressSpec | None]]
    ) -> Sequence[KernelError | None]:
        """Add every address, or replace its lifetime."""
        now = self._clock.boottime()
        requests = []
        for key, spec, have in items:
            flags = NLM_F_CREATE | (NLM_F_EXCL if have is None else NLM_F_REPLACE)
            requests.append((RTM_NEWADDR, flags, to_wire(key, spec, self._rtnl.index_of(key.link) or 0, now)))
        answers = await self._rtnl.send(requests)
        made = {key: now for key, _, have in items if have is None and key.ip.version == 6}
        self._made_at = {key: at for key, at in self._made_at.items() if now - at < WORKQUEUE_S} | made
        lost = {key: spec.prefix_route for key, spec, have in items if have is not None and have.lost}
        if lost:
            await restore(self._rtnl, lost)
        return answers

    async def drop(self, keys: Sequence[AddressKey]) -> Sequence[KernelError | None]:
        """Delete every address; what is gone, or whose link is gone, is done."""
        requests = [(RTM_DELADDR, 0, name_of(key, self._rtnl.index_of(key.link) or 0)) for key in keys]
        gone = (errno.EADDRNOTAVAIL, errno.ENODEV)
        return [None if e and e.code in gone else e for e in await self._rtnl.send(requests)]


ENTRIES: Final = (Entry(AddressKind(), AddressDriver),)
