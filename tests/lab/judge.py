"""Whether a campus host is what its file says: asked of the kernel, never of the daemon."""

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise

from tests.lab.kernel import MARK, NOPREFIXROUTE, Address, Link, Route, Rule, Snapshot

SCOPE_LINK, SCOPE_UNIVERSE = 253, 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``[macvlans.neo]`` with leases comes to."""

    names: tuple[str, ...]
    parent: str
    network: IPv4Network
    gateway: IPv4Address
    pool: tuple[IPv4Address, IPv4Address]
    table_base: int = 0
    mode: str = "private"

    def table(self, name: str) -> int:
        """Return the table of an interface: the base and the number in its name."""
        return self.table_base + int("".join(c for c in name if c.isdigit()))


class Judge:
    """Compares snapshots with what is wanted."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted

    def problems(self, seen: Snapshot) -> list[str]:
        """Return what is not as wanted, one line each; empty when converged."""
        return [*self.missing(seen), *self.surplus(seen), *self._clashes(seen)]

    def missing(self, seen: Snapshot, names: Iterable[str] | None = None) -> list[str]:
        """Return what is absent or wrong, for some interfaces or for all."""
        links = {link.name: link for link in seen.links}
        rules = {(rule.source, rule.table, rule.protocol) for rule in seen.rules}
        addresses: dict[str, list[Address]] = defaultdict(list)
        for address in seen.addresses:
            if ":" not in address.ip:
                addresses[address.link].append(address)
        lines = []
        for name in self.wanted.names if names is None else names:
            lines += self._link(name, links)
            lines += self._path(name, addresses.get(name, []), seen, rules)
        return lines

    def _link(self, name: str, links: dict[str, Link]) -> list[str]:
        link, parent = links.get(name), links.get(self.wanted.parent)
        if link is None or parent is None:
            return [f"{name}: no such link" if link is None else f"{self.wanted.parent}: no such link"]
        want = {
            "kind": "macvlan",
            "mode": self.wanted.mode,
            "group": MARK,
            "parent": parent.index,
            "mtu": parent.mtu,
            "up": True,
        }
        wrong = [
            f"{name}: {field} is {getattr(link, field)!r}, not {value!r}"
            for field, value in want.items()
            if getattr(link, field) != value
        ]
        if int(link.mac[:2], 16) & 3 != 2:
            wrong.append(f"{name}: {link.mac} is not a locally administered unicast address")
        return wrong

    def _path(
        self, name: str, have: list[Address], seen: Snapshot, rules: AbstractSet[tuple[str, int, int]]
    ) -> list[str]:
        table = self.wanted.table(name)
        if [a.protocol for a in have] != [MARK]:
            return [f"{name}: addresses {[f'{a.ip} proto {a.protocol}' for a in have]}, not one of proto {MARK}"]
        address = have[0]
        first, last = self.wanted.pool
        lines = []
        if not first <= IPv4Address(address.ip) <= last or address.prefix_length != self.wanted.network.prefixlen:
            lines.append(f"{name}: {address.ip}/{address.prefix_length} was not leased")
        if not address.flags & NOPREFIXROUTE:
            lines.append(f"{name}: {address.ip} put a route into the main table")
        for alternatives in self._routes(name, address.ip, table):
            if seen.routes.isdisjoint(alternatives):
                lines.append(f"{name}: no {alternatives[0]}")
        if (f"{address.ip}/32", table, MARK) not in rules:
            lines.append(f"{name}: no rule from {address.ip} to table {table}")
        return lines

    def _routes(self, name: str, address: str, table: int) -> tuple[tuple[Route, ...], ...]:
        """Return what fulfils each need; whether the default route names its source is a matter of taste."""
        subnet, gateway = str(self.wanted.network), str(self.wanted.gateway)
        return (
            (Route(table, subnet, name, "", address, MARK, SCOPE_LINK, 0),),
            tuple(Route(table, "default", name, gateway, source, MARK, SCOPE_UNIVERSE, 0) for source in (address, "")),
        )

    def surplus(self, seen: Snapshot) -> list[str]:
        """Return what carries the mark and is not wanted."""
        owned, names = seen.owned(), set(self.wanted.names)
        tables = {self.wanted.table(name) for name in names}
        alive = {f"{a.ip}/32" for a in owned.addresses if a.link in names}
        return [
            *(f"surplus {link}" for link in owned.links if link.name not in names),
            *(f"surplus {a}" for a in owned.addresses if a.link not in names),
            *(f"surplus {r}" for r in owned.routes if r.table not in tables or r.link not in names),
            *(f"surplus {r}" for r in owned.rules if r.table not in tables or r.source not in alive),
            *_twice(owned.rules),
        ]

    def _clashes(self, seen: Snapshot) -> list[str]:
        """No two interfaces share a MAC or an address."""
        ours = sorted(link.mac for link in seen.links if link.name in self.wanted.names)
        lent = sorted(a.ip for a in seen.addresses if a.link in self.wanted.names and ":" not in a.ip)
        return [f"{a} is used twice" for things in (ours, lent) for a, b in pairwise(things) if a == b]


def _twice(rules: Iterable[Rule]) -> list[str]:
    count: dict[tuple[str, int], int] = defaultdict(int)
    for rule in rules:
        count[rule.source, rule.table] += 1
    return [f"{n} rules from {source} to table {table}" for (source, table), n in count.items() if n > 1]
