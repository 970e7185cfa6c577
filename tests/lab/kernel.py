"""What one namespace holds now: links, addresses, routes, rules, told apart by whose they are."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

from tests.lab import rtnl
from tests.lab.netns import inside
from tests.lab.rtnl import Rtnl, attributes, number, text

MARK = 110
"""The mark the product promises on everything it owns: protocol of routes, rules and addresses, group of links."""

KERNEL_PROTOCOL = 2
NOPREFIXROUTE = 0x200
FOREVER = 0xFFFFFFFF
MACVLAN_MODES = {1: "private", 2: "vepa", 4: "bridge", 8: "passthru", 16: "source"}


@dataclass(frozen=True, slots=True)
class Link:
    """A link; its index is part of it, because a restart must not change it."""

    name: str
    index: int
    kind: str
    mac: str
    mode: str
    parent: int
    group: int
    up: bool
    mtu: int


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a link. Its remaining lifetime is told but is no part of its identity."""

    link: str
    ip: str
    prefix_length: int
    protocol: int
    flags: int
    valid_s: int = field(compare=False, default=FOREVER)


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast route of one table."""

    table: int
    dst: str  # CIDR, or "default"
    link: str
    gateway: str
    source: str
    protocol: int
    scope: int
    metric: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy rule."""

    priority: int
    source: str  # CIDR, or "all"
    table: int
    protocol: int


@dataclass(frozen=True)
class Snapshot:
    """One look at a namespace. Two are equal when nobody changed anything between them."""

    links: frozenset[Link]
    addresses: frozenset[Address]
    routes: frozenset[Route]
    rules: frozenset[Rule]

    def link(self, name: str) -> Link | None:
        """Return the link of that name."""
        return next((link for link in self.links if link.name == name), None)

    def address(self, link: str) -> str | None:
        """Return the owned IPv4 address of a link."""
        return next((a.ip for a in self.addresses if a.link == link and a.protocol == MARK and ":" not in a.ip), None)

    def owned(self) -> "Snapshot":
        """Return only what carries neo's mark."""
        return self._where(lambda mark: mark == MARK)

    def foreign(self) -> "Snapshot":
        """Return what does not, without what the kernel makes by itself for owned links.

        What stands on an owned link goes with the link, so it is left out too.
        """
        ours = {link.name for link in self.links if link.group == MARK}
        rest = self._where(lambda mark: mark != MARK)
        return replace(
            rest,
            addresses=frozenset(a for a in rest.addresses if a.link not in ours),
            routes=frozenset(r for r in rest.routes if r.link not in ours),
        )

    def _where(self, keep) -> "Snapshot":  # type: ignore[no-untyped-def]
        return Snapshot(
            frozenset(link for link in self.links if keep(link.group)),
            frozenset(a for a in self.addresses if keep(a.protocol)),
            frozenset(r for r in self.routes if keep(r.protocol)),
            frozenset(r for r in self.rules if keep(r.protocol)),
        )

    def difference(self, other: "Snapshot") -> list[str]:
        """Return what is only here (``-``) or only in *other* (``+``), for people."""
        lines = []
        for part in ("links", "addresses", "routes", "rules"):
            mine, theirs = getattr(self, part), getattr(other, part)
            lines += [f"- {thing}" for thing in sorted(map(str, mine - theirs))]
            lines += [f"+ {thing}" for thing in sorted(map(str, theirs - mine))]
        return lines


def look(ns: str) -> Snapshot:
    """Read a namespace, both families."""
    with Rtnl(ns) as socket:
        return look_with(socket)


def look_with(socket: Rtnl) -> Snapshot:
    """Read the namespace of an open socket, which must be subscribed to nothing."""
    links = frozenset(parse_link(body) for _, body in socket.dump(rtnl.GETLINK, bytes(16)))
    names = {link.index: link.name for link in links}
    return Snapshot(
        links,
        frozenset(parse_address(body, names) for _, body in socket.dump(rtnl.GETADDR, bytes(8))),
        frozenset(r for _, body in socket.dump(rtnl.GETROUTE, bytes(12)) if (r := parse_route(body, names))),
        frozenset(parse_rule(body) for _, body in socket.dump(rtnl.GETRULE, bytes(12))),
    )


def parse_link(body: memoryview) -> Link:
    """Read one RTM_NEWLINK payload."""
    _family, _type, index, flags, _change = struct.unpack_from("=BxHiII", body)
    found = attributes(body[16:])
    info = attributes(found[18]) if 18 in found else {}
    kind = text(info.get(1))
    data = attributes(info[2]) if kind == "macvlan" and 2 in info else {}
    return Link(
        name=text(found.get(3)),
        index=index,
        kind=kind,
        mac=bytes(found.get(1, b"")).hex(":"),
        mode=MACVLAN_MODES.get(number(data.get(1)), ""),
        parent=number(found.get(5)),
        group=number(found.get(27)),
        up=bool(flags & 1),
        mtu=number(found.get(4)),
    )


def parse_address(body: memoryview, names: dict[int, str]) -> Address:
    """Read one RTM_NEWADDR payload."""
    _family, prefix_length, flags, _scope, index = struct.unpack_from("=BBBBI", body)
    found = attributes(body[8:])
    return Address(
        link=names.get(index, f"#{index}"),
        ip=str(ip_address(bytes(found.get(2, found.get(1, b"\0\0\0\0"))))),
        prefix_length=prefix_length,
        protocol=number(found.get(11)),
        flags=number(found.get(8), flags) & NOPREFIXROUTE,
        valid_s=struct.unpack_from("=II", found[6])[1] if 6 in found else FOREVER,
    )


def parse_route(body: memoryview, names: dict[int, str]) -> Route | None:
    """Read one RTM_NEWROUTE payload; None for what is not a unicast route of a table."""
    family, dst_len, _s, _tos, table, protocol, scope, type_, flags = struct.unpack_from("=BBBBBBBBI", body)
    if type_ != 1 or flags & 0x200 or table == 255:
        return None
    found = attributes(body[12:])
    dst = "default" if not dst_len else f"{ip_address(bytes(found[1]))}/{dst_len}"
    return Route(
        table=number(found.get(15), table),
        dst=dst if family == 2 or dst_len else "default6",
        link=names.get(number(found.get(4)), f"#{number(found.get(4))}"),
        gateway=_ip(found.get(5)),
        source=_ip(found.get(7)),
        protocol=protocol,
        scope=scope,
        metric=number(found.get(6)),
    )


def parse_rule(body: memoryview) -> Rule:
    """Read one RTM_NEWRULE payload."""
    _family, _dst_len, src_len, _tos, table = struct.unpack_from("=BBBBB", body)
    found = attributes(body[12:])
    return Rule(
        priority=number(found.get(6)),
        source=f"{ip_address(bytes(found[2]))}/{src_len}" if 2 in found else "all",
        table=number(found.get(15), table),
        protocol=number(found.get(21)),
    )


def _ip(data: memoryview | None) -> str:
    return "" if data is None else str(ip_address(bytes(data)))


def sysctls(ns: str, names: Iterable[str]) -> dict[str, str]:
    """Read sysctls (paths below /proc/sys/net) as the namespace sees them."""
    with inside(ns):
        return {name: Path("/proc/sys/net", name).read_text().strip() for name in names}
