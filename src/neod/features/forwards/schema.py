"""``[forwards.NAME]``: ports of a relay that it hands on to another host."""

from collections.abc import Iterator
from ipaddress import IPv4Interface
from typing import Annotated, Final

from pydantic import Field

from neod.features import netchecks
from neod.features.context import Context
from neod.features.fields import Checked, GroupName, LinkName, Section, word
from neod.features.forwards.compile import ForwardingFragment, forward_rules
from neod.features.intents import ForwardInfo, Intents, NatPart
from neod.features.namespaces.compile import ends
from neod.features.table import Table
from neod.features.text import Path, natural, show
from neod.model.nat import Dnat, Ip, ports_text

PORTS_SCHEMA: Final = {
    "type": "array",
    "minItems": 1,
    "items": {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": netchecks.LAST_PORT},
            {"type": "string", "pattern": "^[0-9]{1,5}(-[0-9]{1,5})?$"},
        ]
    },
}


class Forward(Section):
    """Ports that are handed on."""

    protocol: Annotated[str, word("tcp", "udp"), Field(description="The protocol of the ports.", examples=["tcp"])] = (
        "tcp"
    )
    ports: Annotated[
        tuple[tuple[int, int], ...],
        Checked(netchecks.ports, PORTS_SCHEMA),
        Field(description="Ports and ranges of ports of this host.", examples=[[443, "8000-8010"]]),
    ]
    interface: Annotated[
        str,
        LinkName,
        Field(description="The interface that packets must come in by. Absent: any.", examples=["eth0"]),
    ] = ""
    to: Annotated[
        tuple[Ip, int | None],
        Checked(netchecks.target, {"type": "string"}),
        Field(
            description="Where they go: an address, of either family, and a port if it is to be another one. All ports "
            "go to that one then.",
            examples=["198.51.100.10", "198.51.100.10:8443", "[2001:db8::10]:443"],
        ),
    ]
    snat: Annotated[
        Ip | str,
        Checked(netchecks.source, {"type": "string"}),
        Field(
            description="The source that the packets get, so that the answers come back. masquerade: the address of "
            "the interface they leave by. Or an address of this host. none: theirs stays, and the other host must "
            "send its answers through here by itself.",
            examples=["masquerade", "192.0.2.1"],
            validate_default=True,
        ),
    ] = "masquerade"
    hairpin: Annotated[
        bool,
        Field(
            description="Whether connections that this host itself makes to its own addresses are handed on, too.",
            examples=[True],
        ),
    ] = False


def intents(section: dict[str, Forward], context: Context) -> Intents:
    """Return a part of the translation, a row, and the sysctl, for each forward."""
    own = dict(_own_addresses(context))
    units, parts, rows = [], [], []
    for name, forward in sorted(section.items(), key=natural):
        place: Path = ("forwards", name)
        origin = context.origin(*place)
        _check(forward, place, own, context)
        to, port = forward.to
        rules = [
            (rule, (*place, "ports"))
            for first, last in forward.ports
            for rule in forward_rules(
                Dnat(forward.protocol, first, last, to, port, forward.interface, forward.hairpin), forward.snat
            )
        ]
        parts.append(NatPart(tuple(rules), origin))
        units.append(ForwardingFragment(f"forwards.{name}", to.version, origin))
        rows.append(_row(name, forward, place, context))
    return Intents(fragments=tuple(units), nat=tuple(parts), forwards=tuple(rows))


def _row(name: str, forward: Forward, place: Path, context: Context) -> ForwardInfo:
    to, port = forward.to
    host = f"[{to}]" if port and to.version == 6 else str(to)
    ports = tuple(ports_text(first, last) for first, last in forward.ports)
    where = f"{host}:{port}" if port else host
    return ForwardInfo(name, forward.protocol, ports, where, str(forward.snat), context.origin(*place))


def _check(forward: Forward, place: Path, own: dict[Ip, str], context: Context) -> None:
    to, _ = forward.to
    if to in own:
        wrong = f"{to} is an address of this host, says {own[to]}"
        context.problem((*place, "to"), wrong, "write the address of the host that gets the packets")
    if isinstance(forward.snat, str):
        return
    if forward.snat.version != to.version:
        context.problem(
            (*place, "snat"), f"{forward.snat} is IPv{forward.snat.version}, and {to} is not", "write one like it"
        )
    elif forward.snat == to:
        wrong = f"{show(str(to))} would send to itself"
        context.problem((*place, "snat"), wrong, "write an address of this host")


def _own_addresses(context: Context) -> Iterator[tuple[Ip, str]]:
    """Yield the addresses of this host that the file says, and where."""
    for name, uplink in context.sections.get("uplinks", {}).items():
        if isinstance(uplink.ipv4, IPv4Interface):
            yield uplink.ipv4.ip, f"uplinks.{name}"
    for name, group in context.sections.get("macvlans", {}).items():
        for interface in group.ipv4 if not isinstance(group.ipv4, str) else ():
            yield interface.ip, f"macvlans.{name}"
    for name, namespace in context.sections.get("namespaces", {}).items():
        for subnet in namespace.subnet:
            yield ends(subnet)[0], f"namespaces.{name}"


TABLE: Final = Table(
    name="forwards",
    about="What a relay hands on: ports of this host to another host, by name.",
    section=dict[GroupName, Forward],
    intents=intents,
)
