"""What address translation can say, whichever tool writes it. Values only."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Ip = IPv4Address | IPv6Address
Net = IPv4Network | IPv6Network

FORMAT: Final = 1
"""Counted up when the same rules are written differently: what an older neod wrote is then replaced."""

DIGEST_CHARACTERS: Final = 24
MOST_SHOWN: Final = 4


def unmapped(ip: Ip) -> Ip:
    """Return *ip*; one of IPv4 in the form that IPv6 sockets have it (::ffff:192.0.2.1) as the IPv4 address it is."""
    return (ip.ipv4_mapped if isinstance(ip, IPv6Address) else None) or ip


def ports_text(first: int, last: int) -> str:
    """Return ``443`` or ``8000-8010``."""
    return str(first) if first == last else f"{first}-{last}"


@dataclass(frozen=True, slots=True)
class Dnat:
    """New connections to an address of this host are sent on to another one."""

    protocol: str  # tcp | udp
    first: int
    last: int
    to: Ip
    to_port: int | None = None  # None keeps the port
    interface: str = ""  # it must come in there; empty: anywhere
    hairpin: bool = False  # also what the host itself sends to its own addresses

    def __str__(self) -> str:
        where = f" on {self.interface}" if self.interface else ""
        port = f" port {self.to_port}" if self.to_port else ""
        itself = " (also from here)" if self.hairpin else ""
        return f"dnat {self.protocol}/{ports_text(self.first, self.last)}{where} to {self.to}{port}{itself}"


@dataclass(frozen=True, slots=True)
class SnatTo:
    """What a ``Dnat`` sent on gets another source, so that the answers come back through here."""

    protocol: str
    first: int  # ports after the translation
    last: int
    to: Ip
    by: Ip | None = None  # None: the address of the interface it leaves by

    def __str__(self) -> str:
        target = f"{self.to} {self.protocol}/{ports_text(self.first, self.last)}"
        return f"snat to {target} by {self.by}" if self.by else f"masquerade to {target}"


@dataclass(frozen=True, slots=True)
class SnatFrom:
    """What comes from *source* and leaves by *interface* gets another source."""

    source: Net
    interface: str
    by: Ip | None = None  # None: the address of the interface

    def __str__(self) -> str:
        origin = f"from {self.source} on {self.interface}"
        return f"snat {origin} by {self.by}" if self.by else f"masquerade {origin}"


@dataclass(frozen=True, slots=True)
class AnswerBy:
    """What a ``Dnat`` sent on and came in by *interface* is answered by it.

    The connection gets a mark, and its answers get it too, so that a rule can
    lead them. Only the bits of *mask* are written and compared.
    """

    interface: str
    mark: int
    mask: int

    def __str__(self) -> str:
        return f"answers by {self.interface} marked {self.mark:#x}/{self.mask:#x}"


@dataclass(frozen=True, slots=True)
class Guard:
    """What would pass through only because neo switched forwarding on is dropped, but for translated connections.

    What drops are the first packets: answers pass.
    """

    version: int
    entries: tuple[str, ...] = ()  # interfaces that would take nothing to pass on without neo
    exits: tuple[str, ...] = ()  # where nothing that came in by one of those would leave
    inside: tuple[str, ...] = ()  # neo's own ends of pairs: nobody begins a connection that leaves by one

    def __str__(self) -> str:
        into = f"; into {', '.join(self.inside)}" if self.inside else ""
        between = f" from {', '.join(self.entries)} to {', '.join(self.exits)}" if self.entries else ""
        return f"only what is translated{between}{into} (ipv{self.version})"


NatRule = Dnat | SnatTo | SnatFrom | AnswerBy | Guard


def interfaces_of(rule: NatRule) -> tuple[str, ...]:
    """Return the interfaces that a rule names."""
    match rule:
        case SnatTo():
            return ()
        case Guard():
            return (*rule.entries, *rule.exits, *rule.inside)
        case _:
            return (rule.interface,) if rule.interface else ()


def version_of(rule: NatRule) -> int:
    """Return the IP version of a rule; 0 stands for both."""
    match rule:
        case SnatFrom():
            return rule.source.version
        case AnswerBy():
            return 0
        case Guard():
            return rule.version
        case _:
            return rule.to.version


def aim(rule: Dnat) -> tuple[str, Ip, int, int]:
    """Return where a rule sends connections: protocol, address, and ports after the translation."""
    first, last = (rule.to_port, rule.to_port) if rule.to_port else (rule.first, rule.last)
    return rule.protocol, rule.to, first, last


def targets(rules: Iterable[NatRule]) -> dict[tuple[str, Ip, int, int], list[str]]:
    """Return where rules send connections, as protocol, address and ports, and the interfaces that each may come in by.

    Empty stands for any.
    """
    found: dict[tuple[str, Ip, int, int], list[str]] = {}
    for rule in rules:
        if isinstance(rule, Dnat):
            found.setdefault(aim(rule), []).append(rule.interface)
    return found


def joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges of ports, those that overlap as one; nftables takes no element twice."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return found


def _without_overlaps(rules: Iterable[NatRule]) -> Iterator[NatRule]:
    """Yield the rules, with one ``SnatTo`` for the same ports: forwards by two interfaces make several."""
    sources: dict[tuple[str, Ip, Ip | None], list[tuple[int, int]]] = {}
    for rule in rules:
        if isinstance(rule, SnatTo):
            sources.setdefault((rule.protocol, rule.to, rule.by), []).append((rule.first, rule.last))
        else:
            yield rule
    for (protocol, to, by), ranges in sources.items():
        yield from (SnatTo(protocol, first, last, to, by) for first, last in joined(ranges))


@dataclass(frozen=True)
class Ruleset:
    """All translation of one namespace, in an order of its own. As observed, only the digest is known."""

    rules: tuple[NatRule, ...] = ()
    seen_digest: str = ""

    @staticmethod
    def of(rules: tuple[NatRule, ...]) -> "Ruleset":
        """Return the canonical ruleset: sorted, each rule once, and no two that give the same ports their source."""
        return Ruleset(tuple(sorted(_without_overlaps(set(rules)), key=str)))

    @cached_property
    def digest(self) -> str:
        """Return what tells this ruleset from others; it is kept in the kernel beside the rules."""
        if self.seen_digest or not self.rules:
            return self.seen_digest
        return digest_of("\n".join(map(str, self.rules)))

    def __str__(self) -> str:
        if 0 < len(self.rules) <= MOST_SHOWN:
            return "; ".join(map(str, self.rules))
        return f"{len(self.rules)} rules ({self.digest})" if self.rules else self.digest or "incomplete"


def digest_of(text: str) -> str:
    return hashlib.sha256(f"{FORMAT}\n{text}".encode()).hexdigest()[:DIGEST_CHARACTERS]
