"""Which interfaces pass packets on, and what may not pass because they do. Pure.

Forwarding is switched on by interface: IPv4 asks the interface that a packet
came in by, IPv6 does since Linux 6.17 (``force_forwarding``). The switch cannot
tell whose packets those are, so a ``Guard`` drops what would not pass without
it; and the switch waits for the guard.

Source: net/ipv4/route.c, ip_route_input_slow; net/ipv6/ip6_output.c, ip6_forward.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from neod.kinds.nat import NatKey
from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.facts import Forwarding, Host
from neod.model.nat import Guard, Ip
from neod.model.want import FORWARDING, HOST, FactKey, Facts, Fragment, Origin, Want

FOR_ALL: Final = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
BY_LINK: Final = {4: "net/ipv4/conf/{}/forwarding", 6: "net/ipv6/conf/{}/force_forwarding"}
ACCEPT_RA: Final = "net/ipv6/conf/{}/accept_ra"
ON: Final = "1"

KEEP_ROUTERS: Final = SysctlSpec("2", instead_of="1")
"""Where all interfaces become a router's, one with accept_ra 1 loses the default route that came by advertisement;
with 2 it keeps it. Source: net/ipv6/addrconf.c, addrconf_forward_change; net/ipv6/route.c, rt6_purge_dflt_routers."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Interfaces that a forward or a namespace needs open, for packets of one IP version."""

    version: int
    origin: Origin
    links: tuple[str, ...] = ()  # that the file names
    to: Ip | None = None  # its answers come in by the interface that leads to it
    anywhere: bool = False  # clients may come in by any NIC
    inside: str = ""  # our end of the pair to a namespace


@dataclass(frozen=True, slots=True)
class Openings:
    """All of them, with what else of the file decides."""

    all: tuple[Opening, ...]
    paths: tuple[str, ...] = ()  # uplinks and macvlans
    macvlans: frozenset[str] = frozenset()
    explicit: tuple[tuple[str, str], ...] = ()  # the sysctls that the file sets itself

    def versions(self) -> list[int]:
        """Return the IP versions that anything is open for."""
        return sorted({opening.version for opening in self.all})

    def ours(self) -> frozenset[str]:
        """Return the links that neo makes and nobody else uses."""
        return self.macvlans.union(opening.inside for opening in self.all)

    def links(self, version: int, fact: Forwarding) -> dict[str, Origin]:
        """Return the interfaces to open, with what first asks for each."""
        exits, found = dict(fact.exits), dict[str, Origin]()
        for opening in self.all:
            if opening.version == version:
                leads = (exits[opening.to],) if opening.to in exits else ()
                anywhere = (*self.paths, *fact.nics) if opening.anywhere else ()
                for link in (*opening.links, *leads, *anywhere):
                    found.setdefault(link, opening.origin)
        return found

    def guards(self, facts: Facts) -> Iterator[Guard]:
        """Yield what drops what the interfaces would pass on beside neo's connections, a version of IP each."""
        fact, explicit = forwarding_in(facts), dict(self.explicit)
        for version in self.versions():
            inside = {one.inside for one in self.all if one.version == version and one.inside}
            free = {*inside, *self._routing(version, fact, explicit)}
            closed = self.links(version, fact).keys() - free
            others = {*fact.links} - self.macvlans - free
            entries = closed if is_by_link(version, facts) else closed | others
            exits = (closed - self.macvlans) | others
            if explicit.get(FOR_ALL[version]) == ON or not entries:
                entries = exits = set()
            yield Guard(version, *(tuple(sorted(names)) for names in (entries, exits, inside)))

    def _routing(self, version: int, fact: Forwarding, explicit: dict[str, str]) -> Iterator[str]:
        """Yield the interfaces that pass packets on without us: others want it, or the file says so itself."""
        yield from (link for number, link in fact.routing if number == version)
        yield from (link for link in self._named() if explicit.get(BY_LINK[version].format(link)) == ON)

    def _named(self) -> Iterator[str]:
        yield from (link for opening in self.all for link in opening.links)
        yield from self.paths


NOTHING: Final = Openings(())


@dataclass(frozen=True, slots=True)
class ForwardingFragment(Fragment):
    """The switches."""

    openings: Openings

    @property
    def name(self) -> str:
        """Return ``forwarding``."""
        return "forwarding"

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return what is known of interfaces, and whether the kernel has the switches."""
        return HOST, FORWARDING

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield the switch of each interface; where the kernel has none, the one for all."""
        fact, explicit = forwarding_in(facts), dict(self.openings.explicit)
        for version in self.openings.versions():
            there = {*fact.links, *self.openings.ours(), *self.openings.paths}
            links = {k: v for k, v in self.openings.links(version, fact).items() if k in there or not fact.links}
            first = next(one.origin for one in self.openings.all if one.version == version)
            routers = None if is_by_link(version, facts) else {*links, *fact.links} - self.openings.ours()
            for link, path, spec in _switches(version, links, routers, fact):
                if path not in explicit:
                    yield Want(SysctlKey("", path), spec, links.get(link, first))


def _switches(
    version: int, links: Iterable[str], routers: Collection[str] | None, fact: Forwarding
) -> Iterator[tuple[str, str, SysctlSpec]]:
    """Yield link, path and value of what lets packets of an IP version through.

    *routers*: interfaces that may have a default route by advertisement, where
    there is but the switch for all; None where each has its own. What others
    opened is left to them: it becomes ours, guarded, when they close it.
    """
    on = SysctlSpec(ON, needs=(NatKey(""),))
    if routers is not None:
        yield from ((link, ACCEPT_RA.format(link), KEEP_ROUTERS) for link in ("default", *sorted(routers)))
    else:
        closed = (link for link in links if (version, link) not in fact.routing)
        yield from ((link, BY_LINK[version].format(link), on) for link in closed)
    if routers is not None or version in fact.kept:
        yield "", FOR_ALL[version], on


def forwarding_in(facts: Facts) -> Forwarding:
    """Return what is known of interfaces; before the first look, nothing."""
    fact = facts.get(FORWARDING)
    return fact if isinstance(fact, Forwarding) else Forwarding()


def is_by_link(version: int, facts: Facts) -> bool:
    """Whether this kernel forwards packets of an IP version by interface."""
    host = facts.get(HOST)
    return version == 4 or not isinstance(host, Host) or host.force_forwarding
