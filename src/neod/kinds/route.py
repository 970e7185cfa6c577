"""Routes in tables that neo owns, and whatever route bears its mark."""

import errno
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import ClassVar, Final

from neod.kinds.route_hops import RTA_OIF, RTNH_F_ONLINK, gateway_attr, gateway_in
from neod.model.change import Seen
from neod.model.errors import KernelError, Obstacle
from neod.model.key import Hashed, Key, LinkKey, LocalKey, TableKey, within
from neod.model.kind import Entry, Kind, Mention, Names
from neod.model.marks import PROTOCOL
from neod.model.ports import Ports
from neod.model.shown import IF_UNUSUAL
from neod.netlink.attributes import Ip, attr, attr_u32, attrs, family_of, ip, nest, u32
from neod.netlink.message import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from neod.netlink.rtnetlink import (
    RTM_DELNEXTHOP,
    RTM_DELROUTE,
    RTM_GETROUTE,
    RTM_NEWNEXTHOP,
    RTM_NEWROUTE,
    RTMSG,
    RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV6_ROUTE,
    RTNLGRP_NEXTHOP,
)

RTA_DST, RTA_SRC, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS, RTA_TABLE = 1, 2, 6, 7, 8, 15
RTAX_MTU: Final = 2
TYPES: Final = (
    "unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw",
    "nat", "xresolve",
)  # fmt: skip
"""Names of ``rtm_type``, as ``ip route`` writes them."""

SCOPE_UNIVERSE, SCOPE_LINK, SCOPE_NOWHERE = 0, 253, 255
RTM_F_CLONED: Final = 0x200
RTPROT_KERNEL: Final = 2
MAIN_TABLE, LOCAL_TABLE = 254, 255

EVERYWHERE: Final = IPv4Network("0.0.0.0/0")
IP6_DEFAULT_METRIC: Final = 1024

ONE_BY_ONE: Final = 24
"""More tables than this, and than a third of the links, are read with one dump a family, filtered by our protocol."""


@dataclass(frozen=True, slots=True)
class RouteKey(Hashed):
    """What makes two routes *the same* route to the kernel."""

    kind: ClassVar[str] = "route"
    netns: str
    table: int
    dst: IPv4Network | IPv6Network
    metric: int = 0
    tos: int = 0  # IPv4
    src: IPv4Network | IPv6Network | None = None  # IPv6: for packets from there alone
    hop: tuple[str, Ip | None] | None = None  # link and gateway of one that stands behind another of the same key

    def __str__(self) -> str:
        dst = "default" if self.dst.prefixlen == 0 else str(self.dst)
        metric = f"@{self.metric}" if self.metric else ""
        rest = (f" from {self.src}" if self.src else "") + (f" tos {self.tos:#x}" if self.tos else "")
        behind = f" behind, dev {self.hop[0]} via {self.hop[1]}" if self.hop else ""
        return f"route:{within(self.netns)}{self.table}/{dst}{metric}{rest}{behind}"


DEFAULTS: Final = {
    4: RouteKey("", MAIN_TABLE, EVERYWHERE),
    6: RouteKey("", MAIN_TABLE, IPv6Network("::/0"), IP6_DEFAULT_METRIC),
}
"""The default route by IP version, with the metric that the kernel gives it."""


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """What that route should be. Equality here *is* "in sync"."""

    link: str  # a name: an ifindex does not survive a re-create
    gateway: IPv4Address | IPv6Address | None = None  # None: scope link
    source: IPv4Address | IPv6Address | None = None  # preferred source; must be on a link already
    mtu: int | None = None  # bytes; None leaves the kernel's choice alone
    on_link: bool = field(default=False, metadata=IF_UNUSUAL)  # the gateway is reachable though no subnet holds it
    type: str = field(default="unicast", metadata=IF_UNUSUAL)  # of ``TYPES``; neo wants no other


class RouteKind(Kind[RouteKey, RouteSpec]):
    """Unicast routes with our protocol; those of others, maybe a million, are not read."""

    name: ClassVar[str] = "route"
    groups: ClassVar[tuple[int, ...]] = (RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_NEXTHOP)
    messages: ClassVar[tuple[int, ...]] = (RTM_NEWROUTE, RTM_DELROUTE, RTM_NEWNEXTHOP, RTM_DELNEXTHOP)
    deletions: ClassVar[tuple[int, ...]] = (RTM_DELROUTE,)
    verbs: ClassVar[Mapping[int, str]] = {
        RTM_NEWROUTE: "route add",
        RTM_DELROUTE: "route del",
        RTM_GETROUTE: "route get",
    }
    create_fails_if_exists: ClassVar[bool] = True
    reads_foreign: ClassVar[bool] = False

    def normalize(self, key: RouteKey, spec: RouteSpec) -> tuple[RouteKey, RouteSpec]:
        """Return the pair the way the kernel will report it back.

        IPv6 has no metric 0: the kernel stores 1024 in its place.

        Source: read back on Linux 6.18 by ``tests/kernel/contract``.
        """
        if key.dst.version == 6 and key.metric == 0:
            key = replace(key, metric=IP6_DEFAULT_METRIC)
        return key, spec

    def opens(self, key: RouteKey, dead_ends: Collection[str]) -> bool:
        return key.dst.prefixlen == 0

    def conflict(self, have: RouteSpec) -> str:
        """Return where the other program's route goes."""
        by = (f"via {have.gateway}" if have.gateway else "") or have.type
        where = f"{by} dev {have.link}" if have.link else by
        return f"another program's route to this destination is in the table ({where}); neod leaves it alone"

    def requires(self, key: RouteKey, spec: RouteSpec) -> Iterable[Key]:
        """A route needs its link, and its source on some link."""
        link = LinkKey(key.netns, spec.link)
        return (link,) if spec.source is None else (link, LocalKey(key.netns, spec.source))

    def provides(self, key: RouteKey) -> Iterable[Key]:
        """A table exists while it holds a route."""
        return (TableKey(key.netns, key.table, key.dst.version),)

    def carries(self, key: RouteKey, spec: RouteSpec | None, tables: Mapping[int, str]) -> Iterable[str]:
        """What a table is made for follows it."""
        return (tables[key.table],) if key.table in tables else ()

    def path(self, key: RouteKey, spec: RouteSpec | None, tables: Mapping[int, str]) -> str:
        """A table is one path's."""
        return tables.get(key.table, "")

    def names(self, key: RouteKey, spec: RouteSpec | None) -> Iterable[str]:
        """The table."""
        return (str(key.table), f"table {key.table}", f"table:{key.table}", f"lookup {key.table}")

    def steers(self, message: int, payload: memoryview) -> bool:
        """Any but the kernel's own, which lead to addresses and subnets."""
        return message in (RTM_NEWROUTE, RTM_DELROUTE) and RTMSG.unpack_from(payload)[5] != RTPROT_KERNEL

    def keys_of_event(self, netns: str, message: int, payload: memoryview, names: Names) -> Iterable[Mention]:
        """Return the route that an event is about. Of a nexthop object, any of the main table may be made."""
        if message in (RTM_NEWNEXTHOP, RTM_DELNEXTHOP):
            return (Mention(RouteKey(netns, MAIN_TABLE, EVERYWHERE), False),)
        reading = from_wire(netns, payload, names)
        return (Mention(reading[0], reading[1].owned),) if reading else ()


def name_of(key: RouteKey, scope: int, type_: int, flags: int) -> bytes:
    """Return the payload that names the route: all that its key says, and our protocol."""
    table, from_length = key.table if key.table < 256 else 0, key.src.prefixlen if key.src else 0
    family = family_of(key.dst.version)
    head = RTMSG.pack(family, key.dst.prefixlen, from_length, key.tos, table, PROTOCOL, scope, type_, flags)
    parts = [head, attr_u32(RTA_TABLE, key.table)]
    if key.dst.prefixlen:
        parts.append(attr(RTA_DST, key.dst.network_address.packed))
    if key.src is not None:
        parts.append(attr(RTA_SRC, key.src.network_address.packed))
    if key.metric:
        parts.append(attr_u32(RTA_PRIORITY, key.metric))
    return b"".join(parts)


def to_wire(key: RouteKey, spec: RouteSpec, index: int) -> bytes:
    """Return the RTM_NEWROUTE payload."""
    on_wire = key.dst.version == 6 or spec.gateway is not None
    scope, flags = SCOPE_UNIVERSE if on_wire else SCOPE_LINK, RTNH_F_ONLINK if spec.on_link else 0
    head = name_of(key, scope, TYPES.index(spec.type), flags)
    parts = [head, attr_u32(RTA_OIF, index)]
    if spec.gateway is not None:
        parts.append(gateway_attr(key.dst.version, spec.gateway))
    if spec.source is not None:
        parts.append(attr(RTA_PREFSRC, spec.source.packed))
    if spec.mtu is not None:
        parts.append(nest(RTA_METRICS, [attr_u32(RTAX_MTU, spec.mtu)]))
    return b"".join(parts)


def from_wire(netns: str, payload: memoryview, names: Names) -> tuple[RouteKey, Seen[RouteSpec]] | None:
    """Return the route that an RTM_NEWROUTE payload describes; None for what is no route of a table."""
    family, length, from_length, tos, table, protocol, _, type_, flags = RTMSG.unpack_from(payload)
    if flags & RTM_F_CLONED:
        return None
    found = attrs(payload, RTMSG.size)
    width = 4 if family == family_of(4) else 16
    key = RouteKey(
        netns,
        u32(found[RTA_TABLE]) if RTA_TABLE in found else table,
        ip_network((bytes(found[RTA_DST]) if RTA_DST in found else bytes(width), length)),
        u32(found[RTA_PRIORITY]) if RTA_PRIORITY in found else 0,
        tos,
        ip_network((bytes(found[RTA_SRC]), from_length)) if RTA_SRC in found else None,
    )
    metrics = attrs(found[RTA_METRICS]) if RTA_METRICS in found else {}
    spec = RouteSpec(
        (names(u32(found[RTA_OIF])) or "") if RTA_OIF in found else "",  # multipath has no single link
        gateway_in(found),
        ip(found[RTA_PREFSRC]) if RTA_PREFSRC in found else None,
        u32(metrics[RTAX_MTU]) if RTAX_MTU in metrics else None,
        bool(flags & RTNH_F_ONLINK),
        TYPES[type_] if type_ < len(TYPES) else "unspec",
    )
    return key, Seen(spec, protocol == PROTOCOL)


def by_key(readings: Iterable[tuple[RouteKey, Seen[RouteSpec]]]) -> dict[RouteKey, Seen[RouteSpec]]:
    """Return routes by key. Of several that IPv4 keeps under one (`ip route append`), the first of ours has it.

    The others of ours are under keys that say their hop; those of others are
    left out, since the one in front is what counts.
    """
    found: dict[RouteKey, Seen[RouteSpec]] = {}
    for key, seen in readings:
        before = found.get(key)
        if before is None or (seen.owned and not before.owned):
            found[key] = seen
        elif seen.owned:
            found[replace(key, hop=(seen.spec.link, seen.spec.gateway))] = seen
    return found


class RouteDriver:
    """Routes of one namespace. Effects only: it decides nothing and retries nothing."""

    def __init__(self, ports: Ports) -> None:
        self._netns, self._rtnl = ports.netns, ports.rtnl

    async def observe(self, keys: Collection[RouteKey]) -> Mapping[RouteKey, Seen[RouteSpec]]:
        """Read the tables of *keys*, foreign routes and all."""
        tables = {(key.table, key.dst.version) for key in keys}
        if len(tables) > max(ONE_BY_ONE, self._rtnl.known() // 3):
            return await self.observe_all(keys)
        found: dict[RouteKey, Seen[RouteSpec]] = {}
        for table, version in sorted(tables):
            found |= await self._dump(version, table, 0)
        return found

    async def observe_all(self, wanted: Collection[RouteKey]) -> Mapping[RouteKey, Seen[RouteSpec]]:
        """Read our routes in all tables; the kernel leaves the others out."""
        return await self._dump(4, 0, PROTOCOL) | await self._dump(6, 0, PROTOCOL)

    async def _dump(self, version: int, table: int, protocol: int) -> dict[RouteKey, Seen[RouteSpec]]:
        head = RTMSG.pack(family_of(version), 0, 0, 0, table if table < 256 else 0, protocol, 0, 0, 0)
        try:
            dumped = await self._rtnl.dump(RTM_GETROUTE, head + (attr_u32(RTA_TABLE, table) if table else b""))
        except KernelError as error:
            if error.code == errno.ENOENT:  # the table does not exist yet
                return {}
            raise
        readings = (from_wire(self._netns, payload, self._rtnl.name_of) for _, payload in dumped)
        return by_key(reading for reading in readings if reading)

    async def put(self, items: Sequence[tuple[RouteKey, RouteSpec, RouteSpec | None]]) -> Sequence[KernelError | None]:
        """Add every route, or replace the one that is there; what a gateway is reached by comes before it."""
        order = sorted(range(len(items)), key=lambda i: items[i][1].gateway is not None)
        requests = []
        for key, spec, have in (items[i] for i in order):
            flags = NLM_F_CREATE | (NLM_F_EXCL if have is None else NLM_F_REPLACE)
            requests.append((RTM_NEWROUTE, flags, to_wire(key, spec, self._rtnl.index_of(spec.link) or 0)))
        answers = dict(zip(order, await self._rtnl.send(requests), strict=True))
        return [answers[i] for i in range(len(items))]

    async def explain(self, refused: Sequence[tuple[RouteKey, RouteSpec, KernelError]]) -> Sequence[Obstacle | None]:
        """Return which sources are addresses that nothing leads to any more: somebody flushed the table ``local``.

        Of IPv6 the kernel looks at the address itself.

        Source: net/ipv4/fib_semantics.c, fib_valid_prefsrc; net/ipv6/route.c, ip6_route_info_create.
        """
        asked = [spec.source if error.code == errno.EINVAL else None for _, spec, error in refused]
        asked = [source if isinstance(source, IPv4Address) else None for source in asked]
        there = await self._dump(4, LOCAL_TABLE, 0) if any(asked) else {}
        local = {key.dst.network_address for key, seen in there.items() if seen.spec.type == "local"}
        return [
            None if source is None or source in local else _unreachable(key, spec.link, source)
            for (key, spec, _), source in zip(refused, asked, strict=True)
        ]

    async def drop(self, keys: Sequence[RouteKey]) -> Sequence[KernelError | None]:
        """Delete every route that carries our protocol; already gone counts as done."""
        requests = [(RTM_DELROUTE, 0, name_of(key, SCOPE_NOWHERE, 0, 0) + self._hop_of(key)) for key in keys]
        gone = (errno.ESRCH, errno.ENOENT, errno.ENODEV)
        return [None if e and e.code in gone else e for e in await self._rtnl.send(requests)]

    def _hop_of(self, key: RouteKey) -> bytes:
        if key.hop is None:
            return b""
        link, gateway = key.hop
        out = attr_u32(RTA_OIF, self._rtnl.index_of(link) or 0)
        return out if gateway is None else out + gateway_attr(key.dst.version, gateway)


def _unreachable(key: RouteKey, link: str, source: Ip) -> Obstacle:
    text = f"nothing leads to {source}, its route in the table local is gone: take the address away and add it again"
    return Obstacle(text, LinkKey(key.netns, link))


ENTRIES: Final = (Entry(RouteKind(), RouteDriver),)
