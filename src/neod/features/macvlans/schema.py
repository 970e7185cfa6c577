"""``[macvlans.GROUP]``: N macvlans on a NIC, each with an address, a table and a rule of its own."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Annotated, Any, Final

from neod.features.intents import Intents
from neod.features.macvlans.compile import MacvlanFragment, ParentFragment
from neod.features.macvlans.host import HostFragment
from neod.features.macvlans.sections import Group, Override
from neod.features.parts import Candidate, ExplicitSysctl, OwnAddress, PathInfo, without_ipv6
from neod.features.path import IPV6_LEAST_MTU, PathFragment
from neod.features.table import Table
from neod.features.validation.addresses import gateway_problem, gateway_remark
from neod.features.validation.checks import (
    MOST_INTERFACES,
    table_wrong,
)
from neod.features.validation.context import Context
from neod.features.validation.fields import GroupName
from neod.features.validation.text import Path, did_you_mean, path_text
from neod.model.facts import DhcpClient, ProbePolicy
from neod.model.names import LINK_NAME_BYTES
from neod.model.want import Fragment, Origin

MANY: Final = 250
"""More MACs on one port than many switches learn, and more addresses than a /24 has."""

MANY_TO_COPY_TO: Final = 16

MOST_TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a group, its overrides applied."""

    name: str
    number: int  # the one in its name
    index: int  # its place in the group, from 0: which static address and MAC are its own
    group_path: Path
    group: Group
    override: Override | None
    origin: Origin

    def says(self, key: str) -> Any:
        """Return what the override says of *key*, else what the group says."""
        return getattr(self.override if self.overrides(key) else self.group, key)

    def overrides(self, key: str) -> bool:
        """Whether the override says anything of *key*."""
        return self.override is not None and key in self.override.model_fields_set

    def path(self, key: str) -> Path:
        return (*self.group_path, "override", self.name, key) if self.overrides(key) else (*self.group_path, key)

    @property
    def leased(self) -> bool:
        """Whether its address comes by DHCP."""
        return not self.says("ipv4")

    @property
    def static(self) -> IPv4Interface | None:
        """Return its static address; None if it is leased, or if the list is too short."""
        given: tuple[IPv4Interface, ...] = self.says("ipv4")
        index = 0 if self.overrides("ipv4") else self.index
        return given[index] if index < len(given) else None

    @property
    def gateway(self) -> IPv4Address | None:
        """Return the router of its static address; a group's is not for interfaces that lease theirs."""
        found: IPv4Address | None = self.says("gateway")
        return None if self.leased else found

    @property
    def mac(self) -> str:
        """Return its MAC; empty if it is derived."""
        if self.from_macs:
            return (self.group.macs or ())[self.index]
        mac: str = self.says("mac")
        return "" if mac == "auto" else mac

    @property
    def from_macs(self) -> bool:
        """Whether its MAC is one of the group's list."""
        return self.index < len(self.group.macs or ()) and not self.overrides("mac")

    @property
    def address_path(self) -> Path:
        """Return where its static address is said."""
        path = self.path("ipv4")
        return path if self.overrides("ipv4") or len(self.group.ipv4) < 2 else (*path, self.index)

    @property
    def table(self) -> int:
        """Return its routing table."""
        base: int = self.says("table_base")
        return self.override.table if self.override and self.override.table else base + self.number

    @property
    def table_path(self) -> Path:
        return self.path("table" if self.overrides("table") else "table_base")


def contribute(section: dict[str, Group], context: Context) -> Iterator[object]:
    """Yield two fragments and a path for each interface, and a fragment for each NIC below."""
    interfaces: list[Interface] = []
    for name, group in sorted(section.items()):
        interfaces += expand(name, group, MOST_INTERFACES - len(interfaces), context)
    parent_of = {one.name: str(one.says("parent")) for one in interfaces}
    for one in interfaces:
        _claim(one, context)
        _check(one, parent_of, context)
        yield from _fragments(one)
        yield from _values(one)
    parents = {one.says("parent"): ParentFragment(one.says("parent"), one.origin) for one in reversed(interfaces)}
    yield from (parents[name] for name in sorted(parents))


def _fragments(one: Interface) -> Iterator[Fragment]:
    name = f"macvlans.{one.group_path[1]}/{one.name}"
    mtu = one.says("mtu")
    quiet = one.says("ipv6") == "off"
    yield MacvlanFragment(name, one.name, one.says("parent"), one.says("mode"), one.mac, mtu, one.origin, quiet)
    static = (one.static, one.gateway)
    least = 0 if quiet else IPV6_LEAST_MTU
    yield PathFragment(f"{name}/path", one.name, one.says("parent"), *static, one.table, mtu, False, one.origin, least)


def _values(one: Interface) -> Iterator[object]:
    kind = "dhcp" if one.leased else "static"
    probe = ProbePolicy(one.says("probe"))
    yield PathInfo(one.name, one.says("parent"), kind, one.table, one.says("mptcp"), one.origin, probe)
    if one.leased:
        yield DhcpClient(one.name, one.says("parent"), one.mac, probe=probe, release=one.says("release"))
    if one.static is not None:
        yield OwnAddress(one.static.ip, f"macvlans.{one.group_path[1]}")
    if one.says("ipv6") == "off":
        yield without_ipv6(one.name, one.origin)
    if one.says("mptcp"):
        yield _candidate(one)


def _candidate(one: Interface) -> Candidate:
    static = None if one.static is None else one.static.ip
    fact = "lease" if one.leased else ""
    return Candidate(one.name, "", one.name, static, fact, one.says("mptcp"), (1, one.number), one.table, one.origin)


def expand(name: str, group: Group, room: int, context: Context) -> list[Interface]:
    """Return the interfaces of a group; none if it does not say which, or if they are more than there is *room* for."""
    place: Path = ("macvlans", name)
    numbers = _numbers(group, place, context)
    if len(numbers) > room:
        problem = f"with these there are more than {MOST_INTERFACES} interfaces in the file"
        context.problem(place, problem, "ask for fewer", at_key=True)
    if not 0 < len(numbers) <= room:
        return []
    origin = context.origin(*place)
    found = [
        Interface(f"{name}{number}", number, index, place, group, group.override.get(f"{name}{number}"), origin)
        for index, number in enumerate(numbers)
    ]
    _check_group(found, group, place, context)
    return [replace(one, origin=context.origin(*place, "override", one.name)) if one.override else one for one in found]


def _numbers(group: Group, place: Path, context: Context) -> Collection[int]:
    said = [key for key in ("count", "ids", "macs") if getattr(group, key) is not None]
    if not said:
        context.problem(place, "nothing says how many interfaces there are", "write e.g. count = 8", at_key=True)
    for key in said[1:]:
        problem = f"{said[0]} says already which interfaces there are"
        context.problem((*place, key), problem, f"keep one of {' and '.join(said)}", at_key=True)
    return group.numbers


def _check_group(found: list[Interface], group: Group, place: Path, context: Context) -> None:
    """Note what is wrong with the group as a whole."""
    first, last, number = found[0].name, found[-1].name, len(found)
    if len(last) > LINK_NAME_BYTES:
        problem = f"{last} has {len(last)} bytes, and the kernel takes at most {LINK_NAME_BYTES} for an interface"
        context.problem(place, problem, "give the group a shorter name", at_key=True)
    for name in sorted(group.override.keys() - {one.name for one in found})[:MOST_TOLD]:
        problem = f"no interface of this group has that name; it has {first}" + (f" to {last}" if number > 1 else "")
        guess = did_you_mean(name, (one.name for one in found))
        context.problem((*place, "override", name), problem, guess if guess.startswith("did") else "", at_key=True)
    if group.mac != "auto" and group.macs:
        context.problem((*place, "mac"), "macs says the MACs already", "keep one of the two", at_key=True)
    elif group.mac != "auto" and number > 1:
        context.problem((*place, "mac"), f"one MAC for {number} interfaces", "write macs = [...] instead of count")
    if group.ipv4 and len(group.ipv4) != number:
        problem = f"{len(group.ipv4)} addresses for {number} interface{'s' if number > 1 else ''}"
        context.problem((*place, "ipv4"), problem, "write one for each, in the order of their numbers")
    if group.gateway is not None and all(one.leased for one in found):
        problem = "a gateway goes with static addresses, and these are leased"
        context.problem((*place, "gateway"), problem, "leave it out, or list the addresses in ipv4")
    _warn(found, group, place, context)


def _warn(found: list[Interface], group: Group, place: Path, context: Context) -> None:
    number = len(found)
    if number > MANY:
        text = f"{number} MACs on one port are more than many switches learn, and {number} leases more than a /24 has"
        context.warn(place, text)
    if group.mode == "bridge" and number > MANY_TO_COPY_TO:
        context.warn((*place, "mode"), f'bridge copies every broadcast to all {number} interfaces; "private" does not')


def _claim(one: Interface, context: Context) -> None:
    """Claim what only one interface may have."""
    name, base = one.name, one.table - one.number
    context.claim("the interface", name, path_text(one.group_path), one.group_path, "a name is there once")
    hint = f"write e.g. table_base = {(base // 1000 + 1) * 1000}"
    context.claim("the table", one.table, name, one.table_path, "write another" if one.overrides("table") else hint)
    if one.mac and (one.index == 0 or one.from_macs or one.overrides("mac")):
        path = (*one.path("macs"), one.index) if one.from_macs else one.path("mac")
        context.claim("the MAC", one.mac, name, path, "every interface has a MAC of its own")
    if one.static is not None:
        context.claim("the address", one.static.ip, name, one.address_path, "every interface has its own")


def _check(one: Interface, parent_of: dict[str, str], context: Context) -> None:
    """Note what is wrong with one interface; of a thousand with the same fault in the same place, the first."""
    if (parent := one.says("parent")) in parent_of:
        below = parent_of[parent]
        hint = f'name the NIC below, e.g. parent = "{below}"' if below not in parent_of else "name a NIC"
        context.problem(one.path("parent"), f"{parent} is itself a macvlan of this file", hint)
    if problem := table_wrong(one.table):
        hint = "write another" if one.overrides("table") else "write e.g. table_base = 1000"
        context.problem(one.table_path, f"{one.name} cannot have it: {problem}", hint, once=True)
    if one.overrides("table") and one.overrides("table_base"):
        context.problem(one.path("table_base"), "table says it already", "keep one of the two", at_key=True)
    if one.overrides("gateway") and one.leased:
        problem = "a gateway goes with a static address, and this one is leased"
        context.problem(one.path("gateway"), problem, "leave it out, or write the address in ipv4")
    if one.overrides("ipv4") and len(one.says("ipv4")) > 1:
        context.problem(one.path("ipv4"), f"{len(one.says('ipv4'))} addresses for one interface", "write one")
    if one.static is not None and (invalid := gateway_problem(one.static, one.gateway)):
        path = one.path("ipv4" if one.gateway is None else "gateway")
        context.problem(path, f"{one.name}: {invalid.problem}", invalid.hint, once=True)
    elif one.static is not None and (remark := gateway_remark(one.static, one.gateway)):
        context.warn(one.path("gateway"), remark)


def finalize(intents: Intents, context: Context) -> Iterator[HostFragment]:
    """Yield the fragment of the host, which makes room for the neighbours of all paths together."""
    if paths := intents.of(PathInfo):
        host = HostFragment(len(paths), paths[0].origin)
        explicit = {one.path: one.value for one in intents.of(ExplicitSysctl) if not one.netns}
        enough = (path for path, n in host.thresholds().items() if path in explicit and _reaches(explicit[path], n))
        yield replace(host, leave=frozenset(enough))


def _reaches(value: str, least: int) -> bool:
    return value.isdecimal() and int(value) >= least


TABLE: Final = Table(
    about="Groups of macvlans. neod creates them on a NIC, and gives each an address, a routing table and a rule.",
    section=dict[Annotated[str, GroupName], Group],
    contribute=contribute,
    finalize=finalize,
)
