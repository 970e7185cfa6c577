"""Which tracked connections contradict the rules of translation. Pure.

The tracking entry of a connection keeps what was decided for its first packet;
rules that come later are never asked. What it lacks is the interface that the
connection came in by: that follows from the address that it was made to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_network
from typing import Final, Protocol

from neod.model.nat import Dnat, Guard, Ip, Net, Ruleset, SnatFrom, SnatTo

PROTOCOLS: Final = {"tcp": 6, "udp": 17}
ANYWHERE: Final = "lo"
"""Addresses of it are reached by every interface."""

To = tuple[bytes, int]


class End(Protocol):
    """One direction of a connection: addresses in bytes, ports."""

    @property
    def source(self) -> bytes: ...
    @property
    def target(self) -> bytes: ...
    @property
    def target_port(self) -> int: ...


class Flow(Protocol):
    """One tracked connection; see ``neod.netlink.conntrack.TrackedFlow``."""

    @property
    def protocol(self) -> int: ...
    @property
    def asked(self) -> End: ...
    @property
    def sent_to(self) -> To | None: ...
    @property
    def sent_from(self) -> bytes | None: ...


@dataclass(frozen=True)
class Addresses:
    """The addresses of the host: interface, address, length of its prefix."""

    all: tuple[tuple[str, Ip, int], ...]

    @cached_property
    def links_of(self) -> Mapping[bytes, frozenset[str]]:
        """Return the interfaces that have each address."""
        found: dict[bytes, frozenset[str]] = {}
        for link, ip, _ in self.all:
            found[ip.packed] = found.get(ip.packed, frozenset()) | {link}
        return found

    @cached_property
    def links(self) -> frozenset[str]:
        """Return the interfaces that have an address."""
        return frozenset(link for link, _, _ in self.all)

    @cached_property
    def _networks(self) -> Sequence[tuple[int, int, int, str]]:
        """Return bits, shift and prefix of each network on an interface, the longest first."""
        nets = ((link, ip_network((ip, length), strict=False)) for link, ip, length in self.all)
        found = [(n.max_prefixlen, n.max_prefixlen - n.prefixlen, int(n.network_address), link) for link, n in nets]
        return sorted(found, key=lambda one: one[1])

    @cached_property
    def _leaves_by(self) -> dict[bytes, str]:
        return {}

    def link_to(self, address: bytes) -> str:
        """Return the interface whose network holds *address*; empty if none does."""
        if address not in self._leaves_by:
            number, bits = int.from_bytes(address, "big"), len(address) * 8
            fits = (
                link for size, shift, net, link in self._networks if size == bits and number >> shift == net >> shift
            )
            self._leaves_by[address] = next(fits, "")
        return self._leaves_by[address]


@dataclass(frozen=True)
class Translation:
    """What a ruleset does with a connection."""

    rules: Ruleset
    host: Addresses
    _by_port: dict[tuple[int, int, int], tuple[Dnat, ...]] = field(default_factory=dict)

    def sends_to(self, flow: Flow) -> To | None:
        """Return where the connection would be sent; None: where it wants to go."""
        asked, links = flow.asked, self.host.links_of
        if asked.target not in links:
            return None
        for rule in self._dnats(len(asked.target), flow.protocol, asked.target_port):
            here = links[asked.target]
            comes_in = rule.hairpin if asked.source in links else rule.interface in ("", *here) or ANYWHERE in here
            if comes_in:
                return rule.to.packed, rule.to_port or asked.target_port
        return None

    def _dnats(self, size: int, protocol: int, port: int) -> tuple[Dnat, ...]:
        key = size, protocol, port
        if key not in self._by_port:
            rules = (rule for rule in self.rules.rules if isinstance(rule, Dnat))
            fits = [r for r in rules if len(r.to.packed) == size and PROTOCOLS[r.protocol] == protocol]
            fits = [rule for rule in fits if rule.first <= port <= rule.last]
            self._by_port[key] = tuple(sorted(fits, key=lambda rule: (not rule.interface, str(rule))))
        return self._by_port[key]

    @cached_property
    def _snats_to(self) -> Mapping[tuple[int, bytes], Sequence[SnatTo]]:
        found: dict[tuple[int, bytes], list[SnatTo]] = {}
        for rule in self.rules.rules:
            if isinstance(rule, SnatTo):
                found.setdefault((PROTOCOLS[rule.protocol], rule.to.packed), []).append(rule)
        return found

    @cached_property
    def _snats_from(self) -> Sequence[tuple[SnatFrom, int, int, int]]:
        """Return the rules, those with an address first, with bits, shift and prefix of their sources."""
        rules = [rule for rule in self.rules.rules if isinstance(rule, SnatFrom)]
        rules.sort(key=lambda rule: (rule.by is None, rule.source.max_prefixlen - rule.source.prefixlen))
        return [(rule, *_bits(rule.source)) for rule in rules]

    def source_rule(self, flow: Flow, to: To | None) -> SnatTo | SnatFrom | None:
        """Return what gives the connection, sent to *to*, another source."""
        from_ = self._source_rule_from(flow, to[0] if to else flow.asked.target)
        if (from_ is not None and from_.by is not None) or to is None:
            return from_
        for rule in self._snats_to.get((flow.protocol, to[0]), ()):
            if rule.first <= to[1] <= rule.last:
                return rule
        return from_

    def _source_rule_from(self, flow: Flow, target: bytes) -> SnatFrom | None:
        source = flow.asked.source
        number, size, link = int.from_bytes(source, "big"), len(source) * 8, self.host.link_to(target)
        for rule, bits, shift, net in self._snats_from:
            leaves = link == rule.interface if link or rule.by else True  # what no network here holds is far away
            if bits == size and number >> shift == net and leaves and target not in self.host.links_of:
                return rule
        return None

    def drops(self, flow: Flow) -> bool:
        """Whether a guard drops the first packet of such a connection, so that it began while the rules were not there.

        What comes from far away may come in by any interface: then all have to be guarded.
        """
        source, target = flow.asked.source, flow.asked.target
        if source in self.host.links_of or target in self.host.links_of:
            return False  # not passed on
        entry, leaves_by = self.host.link_to(source), self.host.link_to(target)
        for guard in self._guards.get(len(target), ()):
            enters = entry in guard.entries if entry else self.host.links <= {ANYWHERE, *guard.entries, *guard.inside}
            if leaves_by in guard.inside or (leaves_by in guard.exits and enters):
                return True
        return False

    @cached_property
    def _guards(self) -> Mapping[int, Sequence[Guard]]:
        """Return the guards by how long an address is."""
        guards = [rule for rule in self.rules.rules if isinstance(rule, Guard)]
        return {size: [one for one in guards if one.version == version] for version, size in ((4, 4), (6, 16))}


def _bits(net: Net) -> tuple[int, int, int]:
    shift = net.max_prefixlen - net.prefixlen
    return net.max_prefixlen, shift, int(net.network_address) >> shift


@dataclass(frozen=True, slots=True)
class Contradictions:
    """Tells connections that the rules *now* in force would treat otherwise, or that rules *before* them made so."""

    now: Translation
    before: tuple[Translation, ...] = ()

    @staticmethod
    def between(before: Iterable[Ruleset], now: Ruleset, host: Addresses) -> "Contradictions":
        """Return what compares with *now*."""
        return Contradictions(Translation(now, host), tuple(Translation(rules, host) for rules in before))

    def __call__(self, flow: Flow) -> bool:
        """Whether *flow* goes on as no rule of ours makes it any more, or escapes one that is new, or was away."""
        to = self.now.sends_to(flow)
        if to != flow.sent_to:
            return to is not None or any(one.sends_to(flow) == flow.sent_to for one in self.before)
        rule, source = self.now.source_rule(flow, to), flow.sent_from
        if to is None and source is None and self.now.drops(flow):
            return True
        if rule is None:
            return source is not None and self._was_ours(flow, to, source)
        if rule.by is not None:
            return source != rule.by.packed
        if source is None:
            return flow.asked.source not in self.now.host.links_of and (to is None or not self._is_here(to[0]))
        return not self._is_here(source) or self._was_ours(flow, to, source, but=rule)

    def _was_ours(self, flow: Flow, to: To | None, source: bytes, but: SnatTo | SnatFrom | None = None) -> bool:
        """Whether one of the rules before gave the connection its source."""
        for one in self.before:
            rule = one.source_rule(flow, to)
            if rule is not None and rule != but and self._gave(rule, source):
                return True
        return False

    def _gave(self, rule: SnatTo | SnatFrom, source: bytes) -> bool:
        if rule.by is not None:
            return rule.by.packed == source
        links = self.now.host.links_of.get(source, frozenset())
        return bool(links) and (isinstance(rule, SnatTo) or rule.interface in links)

    def _is_here(self, address: bytes) -> bool:
        return address in self.now.host.links_of
