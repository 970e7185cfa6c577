"""``[forwards.NAME]``: ports of a relay that it hands on to another host."""

from collections.abc import Iterator
from typing import Annotated, Final

from neod.features.forwarding import Opening
from neod.features.forwards.compile import ForwardInfo, forward_rules
from neod.features.intents import Intents
from neod.features.parts import NatPart, OwnAddress
from neod.features.table import Table
from neod.features.validation import network, patterns
from neod.features.validation.checks import ABSENT, OldSpelling, link_name
from neod.features.validation.context import Context
from neod.features.validation.fields import GroupName, LinkName, Section, TruthOf01, Validator, one_of, toml_key
from neod.features.validation.patterns import list_of, text_like
from neod.features.validation.text import Path, natural_sort_key, show
from neod.model.nat import Dnat, Ip, ports_text

PORT: Final = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": network.LAST_PORT}, text_like(patterns.PORTS)]}
PORTS: Final = {"anyOf": [*PORT["anyOf"], list_of(PORT, 1, uniqueItems=True)]}


def _interface(value: object) -> str:
    if value == "":
        raise OldSpelling("an empty text names no interface", ABSENT)
    return link_name(value)


class Forward(Section):
    """Ports that are handed on."""

    protocol: str = toml_key("tcp", one_of("tcp", "udp"), "tcp").says("The protocol of the ports.")
    ports: tuple[tuple[int, int], ...] = toml_key(..., Validator(network.ports, PORTS), [443, "8000-8010"]).says(
        "Ports and ranges of ports of this host."
    )
    interface: str = toml_key("", Validator(_interface, LinkName.schema), "eth0").says(
        "The interface that packets must come in by. Absent: any."
    )
    to: tuple[Ip, int | None] = toml_key(
        ...,
        Validator(network.target, text_like(patterns.TARGET)),
        "198.51.100.10",
        "198.51.100.10:8443",
        "[2001:db8::10]:443",
    ).says(
        "Where they go: an address, of either family, and a port if it is to be another one. All ports go to that one "
        "then."
    )
    snat: Ip | str = toml_key(
        "masquerade",
        Validator(network.source, text_like("masquerade", "none", patterns.IP)),
        "masquerade",
        "192.0.2.1",
        validate_default=True,
    ).says(
        "The source that the packets get, so that the answers come back. masquerade: the address of the interface they "
        "leave by. Or an address of this host. none: theirs stays, and the other host must send its answers through "
        "here by itself."
    )
    hairpin: bool = toml_key(False, TruthOf01, True).says(
        "Whether connections that this host itself makes to its own addresses are handed on, too."
    )


def contribute(section: dict[str, Forward], context: Context) -> Iterator[object]:
    """Yield a part of the NAT rules, what has to be open, and a row, for each forward."""
    for name, forward in sorted(section.items(), key=natural_sort_key):
        place: Path = ("forwards", name)
        origin = context.origin(*place)
        _check_snat(forward, place, context)
        to, port = forward.to
        rules = [
            (rule, (*place, "ports"))
            for first, last in forward.ports
            for rule in forward_rules(
                Dnat(forward.protocol, first, last, to, port, forward.interface, forward.hairpin), forward.snat
            )
        ]
        yield NatPart(tuple(rules), origin)
        named = (forward.interface,) if forward.interface else ()
        yield Opening(to.version, origin, named, to, anywhere=not named)
        yield _row(name, forward, place, context)


def _row(name: str, forward: Forward, place: Path, context: Context) -> ForwardInfo:
    to, port = forward.to
    host = f"[{to}]" if port and to.version == 6 else str(to)
    ports = tuple(ports_text(first, last) for first, last in forward.ports)
    where = f"{host}:{port}" if port else host
    return ForwardInfo(name, forward.protocol, ports, where, str(forward.snat), context.origin(*place))


def _check_snat(forward: Forward, place: Path, context: Context) -> None:
    to, _ = forward.to
    if isinstance(forward.snat, str):
        return
    if forward.snat.version != to.version:
        context.problem(
            (*place, "snat"), f"{forward.snat} is IPv{forward.snat.version}, and {to} is not", "write one like it"
        )
    elif forward.snat == to:
        problem = f"{show(str(to))} would send to itself"
        context.problem((*place, "snat"), problem, "write an address of this host")


def finalize(intents: Intents, context: Context) -> tuple[()]:
    """Report the forwards that lead to an address of this host itself."""
    own = {one.ip: one.holder for one in intents.of(OwnAddress)}
    forwards: dict[str, Forward] = context.sections.get("forwards") or {}
    for name, forward in forwards.items():
        to, _ = forward.to
        if to in own:
            problem = f"{to} is an address of this host, says {own[to]}"
            context.problem(("forwards", name, "to"), problem, "write the address of the host that gets the packets")
    return ()


TABLE: Final = Table(
    about="What a relay hands on: ports of this host to another host, by name.",
    section=dict[Annotated[str, GroupName], Forward],
    contribute=contribute,
    finalize=finalize,
)
