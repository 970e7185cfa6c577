"""Policy rules: packets from an address look into that address's table; and whatever rule bears our mark."""

import errno
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import ClassVar, Final

from neod.kinds.rule_words import (
    FIB_RULE_INVERT,
    FR_ACT_TO_TBL,
    FR_ACT_UNREACHABLE,
    FRA_FWMARK,
    FRA_FWMASK,
    FRA_PRIORITY,
    FRA_PROTOCOL,
    FRA_SRC,
    FRA_SUPPRESS_PREFIXLEN,
    FRA_TABLE,
    NO_SUPPRESSION,
    RuleSeen,
    rule_seen,
)
from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Hashed, Key, SourceKey, TableKey, within
from neod.model.kind import Entry, Kind, Mention, Names
from neod.model.marks import PROTOCOL
from neod.model.ports import Ports, Rtnl
from neod.netlink.attributes import attr, attr_u32, attrs, family_of, number, u32
from neod.netlink.message import NLM_F_CREATE, NLM_F_EXCL
from neod.netlink.rtnetlink import RTM_DELRULE, RTM_GETRULE, RTM_NEWRULE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RULEHDR

FRA_PAD: Final = 18
UNREACHABLE: Final = 0
"""In the place of a table: the rule says that there is no way."""

PRIORITY_HEADER: Final = attr_u32(FRA_PRIORITY, 0)[:4]
PLAIN: Final = {
    FRA_SRC, FRA_PRIORITY, FRA_FWMARK, FRA_TABLE, FRA_FWMASK, FRA_PROTOCOL, FRA_SUPPRESS_PREFIXLEN, FRA_PAD,
}  # fmt: skip
"""Attributes of a rule that selects by source and mark alone, and may leave routes out."""


@dataclass(frozen=True, slots=True)
class RuleKey(Hashed):
    """All of a rule: the kernel cannot change one in place, and accepts two that differ in any of this."""

    kind: ClassVar[str] = "rule"
    netns: str
    priority: int
    source: IPv4Network | IPv6Network
    table: int
    mark: int = 0  # of the packets that it is for, compared in the bits of *mask*
    mask: int = 0  # 0: whatever mark they bear
    raw: bytes = b""  # of one that is more than that: the kernel's whole message, which names it best
    suppress: int = NO_SUPPRESSION  # routes of this prefix length or less do not count: 0, default routes

    def __str__(self) -> str:
        if self.raw:
            return f"rule:{within(self.netns)}{self.priority}/{rule_seen(memoryview(self.raw))}"
        source = self.source.network_address if self.source.prefixlen == self.source.max_prefixlen else self.source
        marked = f" fwmark {self.mark:#x}/{self.mask:#x}" if self.mask else ""
        action = f"lookup {self.table}" if self.table else "unreachable"
        if self.falls_through:
            action += f" suppress_prefixlength {self.suppress}"
        return f"rule:{within(self.netns)}{self.priority}/from {source}{marked} {action}"

    @property
    def makes_path(self) -> bool:
        """Whether it is what sends packets from an address into its own table."""
        single = self.source.prefixlen == self.source.max_prefixlen
        return single and self.table != UNREACHABLE and not (self.mask or self.raw or self.falls_through)

    @property
    def falls_through(self) -> bool:
        """Whether it leaves packets to the next rule where only a less specific route leads on."""
        return self.suppress != NO_SUPPRESSION


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """Nothing is left to control: the key says it all."""


class RuleKind(Kind[RuleKey, RuleSpec]):
    """Rules that select by source alone; each is its key."""

    name: ClassVar[str] = "rule"
    groups: ClassVar[tuple[int, ...]] = (RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE)
    messages: ClassVar[tuple[int, ...]] = (RTM_NEWRULE, RTM_DELRULE)
    deletions: ClassVar[tuple[int, ...]] = (RTM_DELRULE,)
    verbs: ClassVar[Mapping[int, str]] = {RTM_NEWRULE: "rule add", RTM_DELRULE: "rule del", RTM_GETRULE: "rule get"}
    create_fails_if_exists: ClassVar[bool] = True

    def requires(self, key: RuleKey, spec: RuleSpec) -> Iterable[Key]:
        """A rule needs a table with something in it: it would send packets to the main table otherwise."""
        return (TableKey(key.netns, key.table, key.source.version),) if key.table and not key.falls_through else ()

    def provides(self, key: RuleKey) -> Iterable[Key]:
        """The rule of one address is what its endpoint waits for."""
        return (SourceKey(key.netns, key.source.network_address),) if key.makes_path else ()

    def carries(self, key: RuleKey, spec: RuleSpec | None, tables: Mapping[int, str]) -> Iterable[str]:
        """What a table is made for follows it."""
        return (tables[key.table],) if key.table in tables else ()

    def path(self, key: RuleKey, spec: RuleSpec | None, tables: Mapping[int, str]) -> str:
        """A table is one path's."""
        return tables.get(key.table, "")

    def names(self, key: RuleKey, spec: RuleSpec | None) -> Iterable[str]:
        """The priority, as ``ip rule`` prints it."""
        return (str(key.priority),)

    def address(self, key: RuleKey) -> IPv4Address | IPv6Address | None:
        """A rule that ends the way of an address names no table."""
        return key.source.network_address if key.source.prefixlen == key.source.max_prefixlen else None

    def columns(self, key: RuleKey, seen: Seen[RuleSpec] | None) -> Mapping[str, object]:
        """The priority of a rule that is there."""
        return {"rule_priority": key.priority if seen else None} if key.makes_path else {}

    def steers(self, message: int, payload: memoryview) -> bool:
        """Any can stand in front of ours."""
        return True

    def keys_of_event(self, netns: str, message: int, payload: memoryview, names: Names) -> Iterable[Mention]:
        """Return the rule that an event is about."""
        reading = from_wire(netns, payload)
        return (Mention(reading[0], reading[1].owned),) if reading else ()


def to_wire(key: RuleKey) -> bytes:
    """Return the payload that makes, or names, the rule."""
    if key.raw:
        header = RULEHDR.unpack_from(key.raw)
        return RULEHDR.pack(*header[:8], header[8] & FIB_RULE_INVERT) + key.raw[RULEHDR.size :]
    table = key.table if key.table < 256 else 0
    action = FR_ACT_TO_TBL if key.table else FR_ACT_UNREACHABLE
    head = RULEHDR.pack(family_of(key.source.version), 0, key.source.prefixlen, 0, table, 0, 0, action, 0)
    parts = [head, attr_u32(FRA_TABLE, key.table), attr_u32(FRA_PRIORITY, key.priority)]
    if key.source.prefixlen:
        parts.append(attr(FRA_SRC, key.source.network_address.packed))
    if key.mask:
        parts += [attr_u32(FRA_FWMARK, key.mark), attr_u32(FRA_FWMASK, key.mask)]
    if key.falls_through:
        parts.append(attr_u32(FRA_SUPPRESS_PREFIXLEN, key.suppress))
    parts.append(attr(FRA_PROTOCOL, bytes((PROTOCOL,))))
    return b"".join(parts)


def from_wire(netns: str, payload: memoryview) -> tuple[RuleKey, Seen[RuleSpec]] | None:
    """Return the rule that an RTM_NEWRULE payload describes; None for one of others that neo cannot want."""
    header, found = RULEHDR.unpack_from(payload), attrs(payload, RULEHDR.size)
    owned = FRA_PROTOCOL in found and found[FRA_PROTOCOL][0] == PROTOCOL
    family, length, table = header[0], header[2], header[4]
    plain = _selects_by_source_and_mark(header, found)
    if not (plain or owned):
        return None
    raw = bytes(found[FRA_SRC]) if FRA_SRC in found else bytes(4 if family == family_of(4) else 16)
    key = RuleKey(
        netns,
        u32(found[FRA_PRIORITY]) if FRA_PRIORITY in found else 0,
        ip_network((raw, length)),
        u32(found[FRA_TABLE]) if FRA_TABLE in found else table,
        number(found, FRA_FWMARK),
        number(found, FRA_FWMASK),
        b"" if plain else bytes(payload),
        number(found, FRA_SUPPRESS_PREFIXLEN, default=NO_SUPPRESSION) if plain else NO_SUPPRESSION,
    )
    return key, Seen(RuleSpec(), owned)


def _selects_by_source_and_mark(header: tuple[int, ...], found: Mapping[int, memoryview]) -> bool:
    _, to_length, _, tos, _, _, _, action, flags = header
    if to_length or tos or flags & FIB_RULE_INVERT or not PLAIN.issuperset(found):
        return False
    return action == (FR_ACT_TO_TBL if number(found, FRA_TABLE, default=header[4]) else FR_ACT_UNREACHABLE)


def priority_of(payload: memoryview) -> int:
    """Return a rule's priority, found by the bytes of its attribute's header; 0 when it has none."""
    raw = bytes(payload)
    at = raw.find(PRIORITY_HEADER, RULEHDR.size)
    while at >= 0 and at & 3:  # inside another attribute
        at = raw.find(PRIORITY_HEADER, at + 1)
    return u32(payload[at + 4 :]) if at >= 0 else 0


def path_rules(keys: Iterable[Key]) -> Iterator[RuleKey]:
    """Yield those of *keys* that send packets of an address, whatever their mark, into a table."""
    return (key for key in keys if isinstance(key, RuleKey) and key.makes_path)


async def every_rule(rtnl: Rtnl, version: int) -> list[RuleSeen]:
    """Return the rules of everybody, in the order of their priorities.

    Raises:
        KernelError: they cannot be read.
    """
    dumped = await rtnl.dump(RTM_GETRULE, RULEHDR.pack(family_of(version), 0, 0, 0, 0, 0, 0, 0, 0))
    return [rule_seen(payload) for _, payload in dumped]


class RuleDriver:
    def __init__(self, ports: Ports) -> None:
        self._netns, self._rtnl = ports.netns, ports.rtnl

    async def observe(self, keys: Collection[RuleKey]) -> Mapping[RuleKey, Seen[RuleSpec]]:
        """Read the rules of the families of *keys*, and parse those whose priority is asked for.

        The kernel gives rules only all at once; looking for the priority's bytes costs a tenth of parsing.
        """
        priorities = {key.priority for key in keys}
        found: dict[RuleKey, Seen[RuleSpec]] = {}
        for version in sorted({key.source.version for key in keys}):
            found |= await self._dump(version, priorities)
        return found

    async def observe_all(self, wanted: Collection[RuleKey]) -> Mapping[RuleKey, Seen[RuleSpec]]:
        """Read every rule of both families."""
        return await self._dump(4, None) | await self._dump(6, None)

    async def _dump(self, version: int, priorities: Collection[int] | None) -> dict[RuleKey, Seen[RuleSpec]]:
        dumped = await self._rtnl.dump(RTM_GETRULE, RULEHDR.pack(family_of(version), 0, 0, 0, 0, 0, 0, 0, 0))
        payloads = [payload for _, payload in dumped]
        if priorities is not None:
            payloads = [payload for payload in payloads if priority_of(payload) in priorities]
        found: dict[RuleKey, Seen[RuleSpec]] = {}
        for payload in payloads:
            reading = from_wire(self._netns, payload)
            if reading and (reading[0] not in found or reading[1].owned):
                found[reading[0]] = reading[1]
        return found

    async def put(self, items: Sequence[tuple[RuleKey, RuleSpec, RuleSpec | None]]) -> Sequence[KernelError | None]:
        """Add every rule."""
        return await self._rtnl.send([(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, to_wire(key)) for key, _, _ in items])

    async def drop(self, keys: Sequence[RuleKey]) -> Sequence[KernelError | None]:
        """Delete every rule; already gone counts as done."""
        answers = await self._rtnl.send([(RTM_DELRULE, 0, to_wire(key)) for key in keys])
        return [None if e and e.code in (errno.ENOENT, errno.ESRCH) else e for e in answers]


ENTRIES: Final = (Entry(RuleKind(), RuleDriver),)
