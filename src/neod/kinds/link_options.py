"""What links of more kinds than macvlan and veth are made with: a kind is a row of names. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Options = tuple[tuple[str, str], ...]
"""Name and value of each, as in the file, in the order of the table below."""

ON_OFF: Final = {"off": 0, "on": 1}
ETHERTYPES: Final = {"802.1q": 0x8100, "802.1ad": 0x88A8}
BOND_MODES: Final = {
    name: number
    for number, name in enumerate(
        ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
    )
}


@dataclass(frozen=True, slots=True)
class Option:
    attribute: str  # its name in linux/if_link.h
    words: Mapping[str, int] = field(default_factory=dict)  # what it can be; empty: a number
    create_only: bool = False  # another value needs another link
    default: str = ""  # what a new link has; not asked for, because a kernel without the feature refuses even "off"


OPTIONS: Final[Mapping[str, Mapping[str, Option]]] = {
    "vlan": {
        "id": Option("IFLA_VLAN_ID", create_only=True),
        "protocol": Option("IFLA_VLAN_PROTOCOL", ETHERTYPES, create_only=True),
    },
    "bond": {
        "mode": Option("IFLA_BOND_MODE", BOND_MODES, create_only=True),  # in place only without ports
        "miimon": Option("IFLA_BOND_MIIMON"),  # ms; with 0 a bond does not see that a port lost its carrier
    },
    "bridge": {
        "stp": Option("IFLA_BR_STP_STATE", ON_OFF, default="off"),
        "vlan_filtering": Option("IFLA_BR_VLAN_FILTERING", ON_OFF, default="off"),
    },
}
"""By IFLA_INFO_KIND and name."""


def attributes(driver: str) -> tuple[str, ...]:
    """Return the attributes that are read of a kind."""
    return tuple(option.attribute for option in OPTIONS[driver].values())


def create_only(driver: str, options: Options) -> Options:
    """Return those of *options* that a link keeps."""
    return tuple(pair for pair in options if OPTIONS[driver][pair[0]].create_only)


def to_wire(driver: str, options: Options) -> dict[str, int]:
    """Return the kernel's numbers for *options*, by attribute."""
    return {(known := OPTIONS[driver][name]).attribute: _number(known, value) for name, value in options}


def from_wire(driver: str, values: Mapping[str, int]) -> Options:
    """Return the options that attributes and numbers stand for."""
    found = ((name, _word(option, values.get(option.attribute))) for name, option in OPTIONS[driver].items())
    return tuple((name, value) for name, value in found if value)


def not_default(driver: str, options: Options) -> Options:
    """Return those of *options* that a new link does not have anyway."""
    return tuple((name, value) for name, value in options if value != OPTIONS[driver][name].default)


def _number(option: Option, value: str) -> int:
    return option.words[value] if option.words else int(value)


def _word(option: Option, number: int | None) -> str:
    if number is None:
        return option.default
    return next((word for word, value in option.words.items() if value == number), str(number))
