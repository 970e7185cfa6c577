"""What addresses of one interface need to be paths of their own: routes, table, rule. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address
from typing import Final

from neod.features import link_mtu
from neod.kinds.address import AddressKey, AddressSpec, slack
from neod.kinds.arp import ArpSpec
from neod.kinds.route import RouteKey, RouteSpec
from neod.kinds.rule import UNREACHABLE, RuleKey, RuleSpec
from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.facts import FOREVER, Followed, Lease
from neod.model.key import ArpKey
from neod.model.marks import NO_ROUTER_PRIORITY, RULE_PRIORITY_BASE
from neod.model.want import FactKey, Facts, Fragment, Origin, Want
from neod.model.words import lease_for

EVERYWHERE: Final = IPv4Network("0.0.0.0/0")
ON_THE_LINK: Final = IPv4Address("0.0.0.0")
RULE: Final = RuleSpec()
MAIN_TABLE: Final = 254

MAIN_METRIC_BASE: Final = 1024
"""The default route of a NIC that neod configures has this metric plus the NIC's table: after those of ifupdown (0),
NetworkManager (100) and networkd (1024); among uplinks the lowest table first."""

IPV6_LEAST_MTU: Final = 1280  # RFC 8200, section 5

ETHERNET_MTU: Final = 1500

PROMOTE: Final = SysctlSpec("1")
"""promote_secondaries: when the old address goes after a renumbering, the new one of the same subnet stays; without
it the kernel deletes the new one along. Source: net/ipv4/devinet.c, __inet_del_ifa."""


@dataclass(frozen=True, slots=True)
class Addressing:
    """One IPv4 address of a link, whoever configured it."""

    ip: IPv4Address
    prefix_length: int
    gateway: IPv4Address | IPv6Address | None = None
    routes: tuple[tuple[IPv4Network, IPv4Address], ...] = ()
    mtu: int | None = None  # bytes, of what leaves through the routes; None leaves the link's
    valid_until: float = FOREVER
    slack_s: float = 0.0
    lease: str = ""  # its server; empty where it is not leased
    on_link: bool = False  # whether an IPv6 gateway is on the link though no route says so

    def holds(self, ip: IPv4Address) -> bool:
        shift = 32 - self.prefix_length
        return int(self.ip) >> shift == int(ip) >> shift


@dataclass(frozen=True, slots=True)
class PathFragment(Fragment):
    """One leased or static address: on its link, in its table, with its rule.

    On an uplink neod is the only one who configures the NIC, so the host itself has to be reachable there too: with
    *main*, the subnet and a default route of a high metric are in the main table as well.
    """

    name: str  # ``macvlans.neo/neo3/path``, ``uplinks.ens3``
    link: str
    parent: str  # the NIC below; an uplink is its own
    ipv4: IPv4Interface | None  # None: leased
    gateway: IPv4Address | None
    table: int
    mtu: int | None  # bytes, of the link, at most; None: that of the parent
    main: bool
    origin: Origin
    least_mtu: int = 0  # bytes; an option 26 below it is not believed

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return the lease of a leased address, and the NIC, whose MTU the lease's may undercut."""
        return (FactKey("lease", self.link), FactKey("nic", self.parent)) if self.ipv4 is None else ()

    def compile(self, facts: Facts) -> list[Want]:
        """Return the address and what makes it a path; nothing without a lease."""
        given = self._addressing(facts)
        if given is None:
            return []
        key = AddressKey("", self.link, given.ip, given.prefix_length)
        below = self.parent if self.parent != self.link else ""
        spec = AddressSpec(given.valid_until, prefix_route=self.main, slack_s=given.slack_s, nic=below)
        wants = [Want(key, spec, self.origin, given.lease), *table(self.link, self.table, (given,), self.origin)]
        if given.gateway is None:
            wants.append(no_router(given, self.origin))
        if below:
            unanswered = ArpKey("", "address", str(given.ip))
            wants.append(Want(unanswered, ArpSpec(link=self.link), self.origin, given.lease))
        return [*wants, *self._reachable(given)] if self.main else wants

    def waits_for(self, facts: Facts) -> tuple[str, ...]:
        """Return the lease, where it is missing, or a router, where it names none that can be one."""
        if self.ipv4 is not None:
            return ()
        lease = facts.get(FactKey("lease", self.link))
        if not isinstance(lease, Lease):
            return (lease_for(self.link),)
        return (router_for(lease),) if lease.no_router else ()

    def remarks(self, facts: Facts) -> tuple[str, ...]:
        """Return what the server of the lease says that cannot be."""
        lease = facts.get(FactKey("lease", self.link)) if self.ipv4 is None else None
        if not isinstance(lease, Lease):
            return ()
        few = (f"option 26 (MTU): {lease.mtu}, less than {self.least_mtu}",) if self._is_too_small(lease.mtu) else ()
        return tuple(f"left out of the lease from {lease.server}: {text}" for text in (*lease.left_out, *few))

    def _is_too_small(self, mtu: int | None) -> bool:
        return mtu is not None and mtu < self.least_mtu

    def _addressing(self, facts: Facts) -> Addressing | None:
        if self.ipv4 is not None:
            return Addressing(self.ipv4.ip, self.ipv4.network.prefixlen, self.gateway)
        lease = facts.get(FactKey("lease", self.link))
        link = link_mtu.lowest(self.mtu, self.parent, facts) or ETHERNET_MTU
        if not isinstance(lease, Lease):
            return None
        return leased(replace(lease, mtu=None) if self._is_too_small(lease.mtu) else lease, link)

    def _reachable(self, given: Addressing) -> Iterator[Want]:
        yield Want(SysctlKey("", f"net/ipv4/conf/{self.link}/promote_secondaries"), PROMOTE, self.origin)
        if given.gateway is not None:
            key = RouteKey("", MAIN_TABLE, EVERYWHERE, MAIN_METRIC_BASE + self.table)
            yield Want(key, via(self.link, given, given.gateway), self.origin, given.lease)


def router_for(lease: Lease) -> str:
    """Return what a lease waits for that names no router that can be one, in words."""
    return f"a router: {lease.no_router}, says {lease.server}"


def followed(seen: Followed) -> tuple[Addressing, ...]:
    """Return the addresses of an uplink, first the source of its default route.

    That is the one that the route prefers; else one whose subnet holds the gateway.
    """
    given = [Addressing(ip, length) for ip, length in seen.addresses]
    gateway = seen.gateway
    if gateway is None or not given:
        return tuple(given)
    preferred = [one for one in given if one.ip == seen.source]
    holding = [one for one in given if isinstance(gateway, IPv4Address) and one.holds(gateway)]
    first = (*preferred, *holding, *given)[0]
    others = (one for one in given if one is not first)
    return (replace(first, gateway=gateway, mtu=seen.mtu, on_link=seen.on_link), *others)


def leased(lease: Lease, link_mtu: int) -> Addressing:
    """Return what *lease* gives its link, whose MTU is *link_mtu* bytes.

    Where there are classless routes the router does not count: without a default among them there is none.

    Source: RFC 3442.
    """
    routes = dict(_parsed(lease.routes)) if lease.routes else {}
    gateway = routes.pop(EVERYWHERE, None) if routes else lease.gateway
    mtu = route_mtu(lease.mtu, link_mtu)
    rest = tuple(routes.items()) if routes else ()
    until, slack_s = lease.expires_at, slack(lease.expires_at - lease.bound_at)
    return Addressing(lease.ip, lease.prefix_length, gateway, rest, mtu, until, slack_s, _words(lease.server))


@lru_cache(maxsize=256)
def _words(server: IPv4Address) -> str:
    return f"lease from {server}"


def _parsed(routes: Iterable[tuple[str, IPv4Address]]) -> Iterator[tuple[IPv4Network, IPv4Address]]:
    for destination, gateway in routes:
        try:
            yield IPv4Network(destination, strict=False), gateway
        except ValueError:
            continue


def route_mtu(option_26: int | None, link_mtu: int) -> int | None:
    """Return the MTU for routes that option 26 asks for; None if it is absent or no smaller than the link's.

    The kernel uses the MTU of a route even where the link's is smaller, so only a smaller one may be taken over.

    Source: include/net/ip.h, ip_dst_mtu_maybe_forward.
    """
    return option_26 if option_26 is not None and option_26 < link_mtu else None


@lru_cache(maxsize=1024)
def network_of(ip: int, prefix_length: int) -> IPv4Network:
    """Return the network of *ip*, a network address; a thousand interfaces share few."""
    return IPv4Network((ip, prefix_length))


def table(link: str, number: int, given: Sequence[Addressing], origin: Origin) -> list[Want]:
    """Return the routes and rules of a table that serves the addresses of one link.

    A table has one route a destination; of two addresses or lease options that would make one, the first does. Without
    any route there is no rule either: it would lead nowhere.
    """
    wants = [
        Want(RouteKey("", number, dst), spec, origin, one.lease) for one in given for dst, spec in routes(link, one)
    ]
    if len(wants) > 1:
        wants = list({want.key: want for want in reversed(wants)}.values())
    return wants + [rule(number, one, origin) for one in given if wants]


def routes(link: str, given: Addressing) -> Iterator[tuple[IPv4Network, RouteSpec]]:
    """Yield destination and route: what the lease names, the default, the subnet."""
    for dst, gateway in given.routes:
        yield dst, via(link, given, gateway)
    if given.gateway is not None:
        yield EVERYWHERE, via(link, given, given.gateway)
    if given.prefix_length < 32:
        shift = 32 - given.prefix_length
        subnet = network_of(int(given.ip) >> shift << shift, given.prefix_length)
        yield subnet, RouteSpec(link, None, given.ip, given.mtu)


def rule(number: int, given: Addressing, origin: Origin) -> Want:
    """Return the rule that sends packets from the address to the table *number*."""
    source = IPv4Network(int(given.ip))
    return Want(RuleKey("", RULE_PRIORITY_BASE + number, source, number), RULE, origin, given.lease)


def no_router(given: Addressing, origin: Origin) -> Want:
    """Return the rule that ends the way of what the address's own table has no route for.

    Without it the main table would send such packets by another NIC, with a source address that is not of that
    network. A rule of somebody's own before the main table's still counts.
    """
    key = RuleKey("", NO_ROUTER_PRIORITY, IPv4Network(int(given.ip)), UNREACHABLE)
    return Want(key, RULE, origin, given.lease)


def via(link: str, given: Addressing, gateway: IPv4Address | IPv6Address) -> RouteSpec:
    """Return the route through *gateway*, whether or not the address's own subnet holds it.

    A gateway of zeros means that everything is on the link, and so does one that is the address itself.

    Source: RFC 3442 for the zeros; dhcpcd has learnt the other from servers.
    """
    if gateway in (ON_THE_LINK, given.ip):
        return RouteSpec(link, None, given.ip, given.mtu)
    on_link = not given.holds(gateway) if isinstance(gateway, IPv4Address) else given.on_link
    return RouteSpec(link, gateway, given.ip, given.mtu, on_link)
