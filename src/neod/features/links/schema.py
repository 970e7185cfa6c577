"""``[links.NAME]``: links that neod makes and owns, to be parents of macvlans or uplinks: VLANs, bonds, bridges."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final

from pydantic import ConfigDict
from pydantic.config import JsonDict

from neod.features.intents import Intents
from neod.features.links.compile import MIIMON_MS, LinkFragment
from neod.features.parts import PathInfo, without_ipv6
from neod.features.table import Table
from neod.features.validation import patterns
from neod.features.validation.checks import InvalidValue, each, first_twice, link_name
from neod.features.validation.context import Context
from neod.features.validation.fields import (
    LinkName,
    MacOrAuto,
    Section,
    Truth,
    Validator,
    integer,
    one_of,
    toml_key,
)
from neod.features.validation.patterns import list_of, text_like
from neod.features.validation.text import Path, any_of, path_text, show

KINDS: Final = ("vlan", "bond", "bridge", "dummy")
MODES: Final = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
KINDS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "parent": ("vlan",),
    "id": ("vlan",),
    "protocol": ("vlan",),
    "ports": ("bond", "bridge"),
    "mode": ("bond",),
    "stp": ("bridge",),
    "vlan_filtering": ("bridge",),
}
"""The keys that not every kind has."""


def _ports(value: object) -> tuple[str, ...]:
    """Return a list of different links."""
    if not isinstance(value, list | tuple):
        raise InvalidValue(f"{show(value)} is not a list in brackets")
    found: tuple[str, ...] = each(link_name, value)
    if twice := first_twice(found):
        raise InvalidValue(f"{show(twice)} stands there twice")
    return found


PORTS_SCHEMA: Final = list_of(text_like(patterns.LINK), uniqueItems=True)


VLAN_SCHEMA: Final[JsonDict] = {
    "if": {"properties": {"kind": {"const": "vlan"}}},
    "then": {"required": ["parent", "id"]},
}


class Link(Section):
    """One link."""

    model_config = ConfigDict(json_schema_extra={"allOf": [VLAN_SCHEMA]})

    kind: str = toml_key(..., one_of(*KINDS), "vlan").says(
        "What it is. vlan: a tagged network on a NIC. bond: several NICs as one. bridge: a switch. dummy: a link that "
        "leads nowhere."
    )
    parent: str = toml_key("", LinkName, "ens3").says("vlan: the NIC that it is on; required with one.")
    id: int | None = toml_key(None, integer(1, 4094), 100).says("vlan: its number; required with one.")
    protocol: str = toml_key("802.1q", one_of("802.1q", "802.1ad"), "802.1q").says(
        "vlan: how frames are tagged. 802.1ad: the outer tag of two."
    )
    ports: tuple[str, ...] = toml_key((), Validator(_ports, PORTS_SCHEMA), ["ens4", "ens5"]).says(
        "bond, bridge: the NICs in it. neod sets them up, and puts them back as they were when they are taken out; a "
        "NIC that is a port of something else is left there, and shown as a conflict. A bond takes a NIC only while it "
        "is down: what others configured on it goes."
    )
    mode: str = toml_key("active-backup", one_of(*MODES), "802.3ad").says(
        "bond: how the NICs share the work. active-backup needs nothing of the switch, 802.3ad (LACP) needs a group of "
        "ports there."
    )
    stp: bool = toml_key(False, Truth, True).says("bridge: whether it speaks the spanning tree protocol.")
    vlan_filtering: bool = toml_key(False, Truth, True).says("bridge: whether it keeps VLANs apart.")
    mac: str = toml_key("auto", MacOrAuto, "auto", "02:4e:65:6f:00:64").says(
        "The MAC. auto: locally administered, derived from machine-id and name, always the same."
    )
    mtu: int | None = toml_key(None, integer(576, 65535), 1500).says(
        "MTU in bytes. Absent: the kernel's choice. Of a vlan: at most that of the NIC, and that if absent."
    )
    ipv6: str | None = toml_key(None, one_of("off", "follow"), "follow").says(
        "off: none on the link itself; what passes through a bridge is not touched. follow: what the kernel and other "
        "programs make of it. Absent: off, and follow for an uplink of this file."
    )


def contribute(section: dict[str, Link], context: Context) -> Iterator[object]:
    """Yield a fragment for each link, and what keeps it silent."""
    for name, link in sorted(section.items()):
        _claim(name, link, context)
        _check(link, ("links", name), context)
    _check_circles(section, context)
    uplinks = context.sections.get("uplinks", {})
    for name, link in sorted(section.items()):
        quiet = (link.ipv6 or ("follow" if name in uplinks else "off")) == "off"
        yield _fragment(name, link, quiet, context)
        if quiet:
            yield without_ipv6(name, context.origin("links", name))


def _fragment(name: str, link: Link, quiet: bool, context: Context) -> LinkFragment:
    mac, options = "" if link.mac == "auto" else link.mac, tuple(_options(link))
    origin = context.origin("links", name)
    return LinkFragment(name, link.kind, link.parent, options, link.ports, mac, link.mtu, origin, quiet)


def _options(link: Link) -> Iterator[tuple[str, str]]:
    """Yield what a link is made with beyond what all have."""
    match link.kind:
        case "vlan":
            yield from (("id", str(link.id)), ("protocol", link.protocol))
        case "bond":
            yield from (("mode", link.mode), ("miimon", str(MIIMON_MS)))
        case "bridge":
            yield from (("stp", _switch(link.stp)), ("vlan_filtering", _switch(link.vlan_filtering)))


def _switch(value: bool) -> str:
    return "on" if value else "off"


def _claim(name: str, link: Link, context: Context) -> None:
    """Claim what only one link may have. An uplink of the same name is this link."""
    place: Path = ("links", name)
    context.claim("the interface", name, path_text(place), place, "a name is there once")
    if link.mac != "auto":
        context.claim("the MAC", link.mac, name, (*place, "mac"), "every interface has a MAC of its own")
    if link.kind == "vlan" and link.id is not None:
        vlan = f"{link.id} ({link.protocol}) of {link.parent}"
        context.claim("the VLAN", vlan, name, (*place, "id"), "a VLAN of a NIC is there once")
    for number, port in enumerate(link.ports):
        context.claim("the port", port, name, (*place, "ports", number), "a NIC is a port of one link")


def _check(link: Link, place: Path, context: Context) -> None:
    """Note keys that go with another kind, and those that are missing."""
    for key in sorted(link.model_fields_set & KINDS_OF.keys()):
        if link.kind not in KINDS_OF[key]:
            wrong = f"{key} goes with a {any_of(KINDS_OF[key])}, and this is a {link.kind}"
            context.problem((*place, key), wrong, "leave it out", at_key=True)
    if link.kind == "vlan" and not link.parent:
        context.problem(place, "a vlan needs a NIC that it is on", 'write e.g. parent = "ens3"', at_key=True)
    if link.kind == "vlan" and link.id is None:
        context.problem(place, "a vlan needs a number", "write e.g. id = 100", at_key=True)
    if link.kind == "bond" and not link.ports:
        context.warn(place, "a bond without ports leads nowhere")


def _below(name: str, section: Mapping[str, Link]) -> Iterator[tuple[Path, str]]:
    """Yield where the link says what it is made of, and the name of that."""
    if link := section.get(name):
        if link.parent:
            yield ("links", name, "parent"), link.parent
        for number, port in enumerate(link.ports):
            yield ("links", name, "ports", number), port


def _check_circles(section: Mapping[str, Link], context: Context) -> None:
    """No link may be made of itself, directly or through others."""
    for name in sorted(section):
        for place, below in _below(name, section):
            if below == name:
                context.problem(place, f"{name} cannot be made of itself", "name a NIC, as `ip link` lists it")
            elif name in _all_below(below, section):
                context.problem(place, f"{below} is itself made of {name}", "name a NIC, as `ip link` lists it")


def _all_below(name: str, section: Mapping[str, Link]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        more = {below for _, below in _below(waiting.pop(), section)} - found
        found |= more
        waiting += sorted(more)
    return found


def finalize(intents: Intents, context: Context) -> Iterable[object]:
    """Check the links against paths: a macvlan is no NIC, and a port has neither addresses nor macvlans."""
    section: Mapping[str, Link] = context.sections.get("links", {})
    macvlans = {path.name for path in intents.of(PathInfo) if path.parent}
    uplinks = {path.name for path in intents.of(PathInfo) if not path.parent}
    parents = {path.parent for path in intents.of(PathInfo) if path.parent}
    for name in sorted(section):
        for place, below in _below(name, section):
            if below in macvlans:
                context.problem(place, f"{below} is a macvlan of this file", "name a NIC, as `ip link` lists it")
        _check_ports(name, section[name].ports, uplinks, parents, context)
    return ()


def _check_ports(name: str, ports: Iterable[str], uplinks: set[str], parents: set[str], context: Context) -> None:
    for number, port in enumerate(ports):
        place = ("links", name, "ports", number)
        if port in uplinks:
            wrong = f"{port} is an uplink of this file, and a port has no addresses of its own"
            context.problem(place, wrong, f"write [{path_text(('uplinks', name))}] instead")
        elif port in parents:
            context.problem(
                place, f"macvlans of this file are on {port}, and a port takes none", f'put them on "{name}"'
            )


TABLE: Final = Table(
    about="Links that neod makes and owns, by name: to be the parents of macvlans, or uplinks.",
    section=dict[Annotated[str, LinkName], Link],
    contribute=contribute,
    finalize=finalize,
)
