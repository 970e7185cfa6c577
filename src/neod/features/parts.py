"""Values that several tables contribute, or that one contributes and another reads. Pure."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from neod.features.intents import Intents
from neod.model.facts import Followed, ProbePolicy
from neod.model.nat import Ip, NatRule, Net
from neod.model.want import FactKey, Facts, Origin

FACTS: Final = {"dhcp": "lease", "follow": "followed"}


class Interim:
    """A value for the other tables alone: it is not handed to the daemon."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class PathInfo:
    """One row of the path table in ``neodctl status``."""

    name: str
    parent: str  # empty for an uplink
    ipv4: str  # "dhcp", "follow" or "static"
    table: int
    mptcp: tuple[str, ...]
    origin: Origin
    probe: ProbePolicy = ProbePolicy.AUTO

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return what its table is made of."""
        fact = FACTS.get(self.ipv4)
        return (FactKey(fact, self.name),) if fact else ()

    def has_routes(self, facts: Facts) -> bool:
        """Whether there is anything to put in its table."""
        given = [facts.get(need) for need in self.needs]
        return all(fact is not None and not (isinstance(fact, Followed) and not fact.addresses) for fact in given)


@dataclass(frozen=True, slots=True)
class Leaving:
    """A network inside, whose packets are to leave by one link."""

    source: Net
    link: str
    holder: str  # ``namespaces.proxy``
    origin: Origin


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address that can be an MPTCP path: what an endpoint, or neod's own path manager, makes of it."""

    name: str  # of the path, or of what the address belongs to
    netns: str
    link: str  # empty: wherever routing sends its packets
    ip: IPv4Address | IPv6Address | None  # None: *fact* says it
    fact: str  # "lease" or "followed" of the link; empty for a static address
    flags: tuple[str, ...]
    rank: tuple[int, int]  # the best first: uplinks (0, -), then macvlans (1, number)
    table: int  # its own routing table; 0: it has none
    origin: Origin


@dataclass(frozen=True, slots=True)
class NatPart:
    """The NAT rules that one entry of the file asks for; ``[nat]`` makes one ruleset of all parts."""

    rules: tuple[tuple[NatRule, tuple[str | int, ...]], ...]  # each with the path of what says it
    origin: Origin
    netns: str = ""


@dataclass(frozen=True, slots=True)
class OwnAddress(Interim):
    """An address of this host that the file says."""

    ip: Ip
    holder: str  # ``uplinks.ens3``


@dataclass(frozen=True, slots=True)
class ImpliedSysctl(Interim):
    """A sysctl that a feature asks for where the file does not set it itself; of IPv6, where the host has that."""

    path: str  # below /proc/sys, in neod's own namespace
    value: str
    origin: Origin


def without_ipv6(link: str, origin: Origin) -> ImpliedSysctl:
    """Return what keeps a link of ours silent: no address, no router advertisement, no route into ``main``."""
    return ImpliedSysctl(f"net/ipv6/conf/{link}/disable_ipv6", "1", origin)


@dataclass(frozen=True, slots=True)
class ExplicitSysctl(Interim):
    """A sysctl that the file sets itself: what a feature implies gives way to it."""

    netns: str
    path: str  # below /proc/sys
    value: str


def paths_by_table(intents: Intents) -> dict[int, str]:
    """Return the name of the path that each routing table is of."""
    return {path.table: path.name for path in intents.of(PathInfo)}


def followed_links(intents: Intents) -> tuple[str, ...]:
    """Return the uplinks that somebody else configures."""
    return tuple(path.name for path in intents.of(PathInfo) if path.ipv4 == "follow")
