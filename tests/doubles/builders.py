"""Sample resources of every kind, for tests that run over the registry."""

from ipaddress import ip_address, ip_network

from neod.kinds.address import AddressSpec
from neod.kinds.arp import ArpSpec
from neod.kinds.link import LinkSpec
from neod.kinds.link_port import PortKey, PortSpec
from neod.kinds.mptcp import EndpointKey, EndpointSpec, LimitsKey, LimitsSpec
from neod.kinds.nat import NatKey, NatSpec
from neod.kinds.netns import NetnsSpec
from neod.kinds.route import RouteKey, RouteSpec
from neod.kinds.rule import RuleKey, RuleSpec
from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.key import AddressKey, ArpKey, Key, LinkKey, NetnsKey
from neod.model.nat import Dnat, NatRule, Ruleset

Pair = tuple[Key, object]


def macvlan(name: str, number: int = 1, parent: str = "up0", **changes: object) -> Pair:
    """Return a macvlan on *parent*."""
    fields: dict[str, object] = {"mode": "private", "mac": f"02:4e:65:6f:00:{number:02x}", "up": True, **changes}
    return LinkKey("", name), LinkSpec("macvlan", name, parent, **fields)  # type: ignore[arg-type]


def address(link: str, ip: str, length: int, valid_until: float = float("inf"), *, prefix_route: bool = False) -> Pair:
    """Return an address on *link*."""
    return AddressKey("", link, ip_address(ip), length), AddressSpec(valid_until, prefix_route)


def route(
    table: int, dst: str, link: str, gateway: str | None = None, source: str | None = None, **more: object
) -> Pair:
    """Return a route in *table*."""
    spec = RouteSpec(
        link,
        ip_address(gateway) if gateway else None,
        ip_address(source) if source else None,
        **more,  # type: ignore[arg-type]
    )
    return RouteKey("", table, ip_network(dst)), spec


def rule(source: str, table: int, mark: int = 0, mask: int = 0) -> Pair:
    """Return the rule that sends packets from *source*, or those with *mark*, to *table*."""
    return RuleKey("", 11000 + table, ip_network(source), table, mark, mask), RuleSpec()


def sysctl(path: str, value: str, at_least: bool = False) -> Pair:
    """Return a sysctl."""
    return SysctlKey("", path), SysctlSpec(value, at_least)


def endpoint(ip: str, number: int, *flags: str, link: str = "", table: int = 0) -> Pair:
    """Return an MPTCP endpoint with the id *number*."""
    return EndpointKey("", ip_address(ip)), EndpointSpec(number, flags, link, table)


def limits(subflows: int, add_addr_accepted: int) -> Pair:
    """Return the limits of MPTCP."""
    return LimitsKey(""), LimitsSpec(subflows, add_addr_accepted)


def bridge(name: str, **options: str) -> Pair:
    """Return a bridge without ports."""
    return LinkKey("", name), LinkSpec("bridge", name, options=tuple(options.items()))


def port(link: str, master: str) -> Pair:
    """Return a port of a bond or a bridge."""
    return PortKey("", link), PortSpec(master)


def netns(name: str) -> Pair:
    """Return a named namespace."""
    return NetnsKey("", name), NetnsSpec()


def arp(sort: str, name: str) -> Pair:
    """Return a NIC that does not answer for our addresses, or one of those addresses."""
    return ArpKey("", sort, name), ArpSpec()


def nat(*rules: NatRule, backend: str = "") -> Pair:
    """Return all translation of a namespace."""
    return NatKey(""), NatSpec(Ruleset(rules), backend)


def forward(ports: str, to: str, **changes: object) -> Dnat:
    """Return a forward of TCP ports."""
    first, _, last = ports.partition("-")
    return Dnat("tcp", int(first), int(last or first), ip_address(to), **changes)  # type: ignore[arg-type]


def campus(name: str, number: int, parent: str = "up0") -> list[Pair]:
    """Return all that one leased macvlan is: link, sysctls, address, table, rule."""
    ip = f"10.9.{number // 250}.{number % 250 + 1}"
    return [
        macvlan(name, number, parent),
        sysctl(f"net/ipv4/conf/{name}/arp_ignore", "1"),
        sysctl(f"net/ipv4/conf/{name}/arp_announce", "2"),
        address(name, ip, 16),
        route(number, "10.9.0.0/16", name, source=ip),
        route(number, "0.0.0.0/0", name, gateway="10.9.255.254", source=ip),
        rule(f"{ip}/32", number),
    ]
