"""``[namespaces]``: a namespace for a proxy program, its link to the outside, and the relays' addresses in it. Pure."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from neod.features.parts import Leaving, PathInfo
from neod.features.path import ETHERNET_MTU, MAIN_TABLE, RULE, leased
from neod.kinds.address import AddressKey, AddressSpec
from neod.kinds.link import LinkKey, LinkSpec
from neod.kinds.netns import NetnsKey, NetnsSpec
from neod.kinds.route import RouteKey, RouteSpec
from neod.kinds.rule import RuleKey, RuleSpec
from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.facts import Followed, Lease
from neod.model.marks import EXIT_PRIORITY, LOCAL_PRIORITY
from neod.model.names import LINK_NAME_BYTES
from neod.model.nat import Ip, Net, SnatFrom
from neod.model.want import FactKey, Facts, Fragment, Origin, Want

INSIDE: Final = "eth0"
RELAYS: Final = "relays"
OUTSIDE: Final = "neo-"
EVERYWHERE: Final[dict[int, Net]] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
ON_LINK: Final = AddressSpec(prefix_route=True)
ALONE: Final = AddressSpec()
MAIN_PRIORITY: Final = 32766
"""The kernel's own rule for the table main, which `ip rule flush` deletes."""

LOCALHOST: Final[dict[int, tuple[Ip, int]]] = {4: (IPv4Address("127.0.0.1"), 8), 6: (IPv6Address("::1"), 128)}
"""The kernel puts it on every loopback, once: programs of the namespace that flush it want it back."""


def outside_link(namespace: str) -> str:
    """Return the name of the end outside: ``neo-proxy``; of a long name the beginning, made unique."""
    name = OUTSIDE + namespace
    if len(name) <= LINK_NAME_BYTES:
        return name
    digest = hashlib.sha256(namespace.encode()).hexdigest()[:4]
    return f"{name[: LINK_NAME_BYTES - 5]}-{digest}"


def ends(subnet: Net) -> tuple[Ip, Ip]:
    """Return the addresses outside and inside: the first two that hosts can have."""
    first = 0 if subnet.prefixlen >= subnet.max_prefixlen - 1 else 1
    return subnet.network_address + first, subnet.network_address + first + 1


def has_ipv6(subnets: Iterable[Net]) -> bool:
    """Whether a subnet is IPv6: without one, the end outside has none either."""
    return any(subnet.version == 6 for subnet in subnets)


def relay_sources(relays: tuple[Ip, ...], networks: tuple[Net, ...], link: str) -> Iterator[SnatFrom]:
    """Yield what makes packets of the i-th relay address come from the i-th address of the network of its kind.

    The addresses are local inside, and the kernel refuses what comes from outside with a local source.
    """
    for network in networks:
        ours = [ip for ip in relays if ip.version == network.version]
        for number, ip in enumerate(ours, 1):
            yield SnatFrom(ip_network(ip), link, network.network_address + number)


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """One row of the namespaces in ``neodctl status``."""

    name: str
    uplink: str
    subnet: str
    expose: tuple[str, ...]
    relay_addresses: tuple[str, ...]
    links: tuple[str, ...]  # in neod's own namespace
    origin: Origin
    on_recreate: tuple[str, ...] = ()  # units to restart


@dataclass(frozen=True, slots=True)
class NamespaceFragment(Fragment):
    """One namespace with all that lives in it but endpoints, and its link. NAT is a part of ``[nat]``."""

    namespace: str
    subnets: tuple[Net, ...]
    relays: tuple[Ip, ...]
    relay_link: str  # dummy | bridge
    sysctls: tuple[tuple[str, str], ...]  # path below /proc/sys inside, value
    origin: Origin

    @property
    def name(self) -> str:
        return f"namespaces.{self.namespace}"

    def compile(self, facts: Facts) -> Iterator[Want]:
        for key, spec in self._pair():
            yield Want(key, spec, self.origin)
        yield Want(NetnsKey("", self.namespace), NetnsSpec(), self.origin)
        for subnet in self.subnets:
            yield from self._addressing(subnet)
        for version in sorted({4, *(subnet.version for subnet in self.subnets)}):
            ip, length = LOCALHOST[version]
            yield Want(AddressKey(self.namespace, "lo", ip, length), ON_LINK, self.origin)
        for subnet in self.subnets:
            rule = RuleKey(self.namespace, MAIN_PRIORITY, EVERYWHERE[subnet.version], MAIN_TABLE)
            yield Want(rule, RuleSpec(), self.origin)
        if self.relays:
            spec = LinkSpec(self.relay_link, RELAYS)
            yield Want(LinkKey(self.namespace, RELAYS), spec, self.origin)
        for ip in self.relays:
            yield Want(AddressKey(self.namespace, RELAYS, ip, ip.max_prefixlen), ALONE, self.origin)
        for path, value in self.sysctls:
            yield Want(SysctlKey(self.namespace, path), SysctlSpec(value), self.origin)

    def _pair(self) -> Iterator[tuple[LinkKey, LinkSpec]]:
        outside = LinkKey("", outside_link(self.namespace))
        inside = LinkKey(self.namespace, INSIDE)
        yield outside, LinkSpec("veth", outside.name, peer=inside, quiet=not has_ipv6(self.subnets))
        yield inside, LinkSpec("veth", inside.name, peer=outside)
        yield LinkKey(self.namespace, "lo"), LinkSpec("", "lo")

    def _addressing(self, subnet: Net) -> Iterator[Want]:
        outer, inner = ends(subnet)
        length = subnet.prefixlen
        yield Want(AddressKey("", outside_link(self.namespace), outer, length), ON_LINK, self.origin)
        yield Want(AddressKey(self.namespace, INSIDE, inner, length), ON_LINK, self.origin)
        default = RouteKey(self.namespace, MAIN_TABLE, EVERYWHERE[subnet.version])
        yield Want(default, RouteSpec(INSIDE, outer, inner), self.origin)


@dataclass(frozen=True, slots=True)
class ExitFragment(Fragment):
    """The rules that lead what comes from inside out by the uplink, whatever the main table's default is.

    Networks that the main table knows by more than a default route are reached as without them: others on this host,
    the LANs of other NICs, a VPN's.
    """

    leaving: Leaving
    path: PathInfo

    @property
    def name(self) -> str:
        """Return ``namespaces.proxy/exit 10.254.0.0/30``."""
        return f"{self.leaving.holder}/exit {self.leaving.source}"

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return what the table of the uplink is made of."""
        return self.path.needs

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield both rules, where the table has routes."""
        if self.path.has_routes(facts):
            source, origin = self.leaving.source, self.leaving.origin
            yield Want(RuleKey("", LOCAL_PRIORITY, source, MAIN_TABLE, suppress=0), RULE, origin)
            yield Want(RuleKey("", EXIT_PRIORITY, source, self.path.table), RULE, origin)

    def remarks(self, facts: Facts) -> tuple[str, ...]:
        """Return that the uplink leads nowhere but to its own network, where that is so."""
        leads = [_leads_out(fact) for need in self.needs if (fact := facts.get(need)) is not None]
        if all(leads) or not self.path.has_routes(facts):
            return ()
        link = self.leaving.link
        text = f"{link} has no default route: what comes from {self.leaving.source} goes where the main table says"
        return (f"{self.leaving.origin}: {text}; add a default route by {link}, with a high metric",)


def _leads_out(fact: object) -> bool:
    match fact:
        case Followed():
            return fact.gateway is not None
        case Lease():
            return leased(fact, ETHERNET_MTU).gateway is not None
        case _:
            return True
