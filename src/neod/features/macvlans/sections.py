"""What may stand in ``[macvlans.GROUP]``."""

from ipaddress import IPv4Address, IPv4Interface
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from neod.features.validation import checks
from neod.features.validation.checks import InvalidValue
from neod.features.validation.fields import (
    CIDR_SCHEMA,
    Address,
    LinkName,
    MacOrAuto,
    Macs,
    Mptcp,
    Numbers,
    Section,
    TableNumber,
    Validator,
    integer,
    one_of,
)


def _ipv4(value: object) -> tuple[IPv4Interface, ...]:
    """Return the static addresses; none for ``dhcp``."""
    if value == "dhcp":
        return ()
    if value == []:
        raise InvalidValue("an empty list has no addresses", 'write "dhcp", or one address for each interface')
    try:
        return checks.each(checks.host_address, value) if isinstance(value, list) else (checks.host_address(value),)
    except InvalidValue as invalid:
        hint = invalid.hint or 'write "dhcp", or a list like ["10.8.0.5/16"] with an address for each interface'
        raise InvalidValue(invalid.problem, hint, invalid.index) from None


Ipv4: Final = Validator(_ipv4, {"anyOf": [{"const": "dhcp"}, CIDR_SCHEMA, {"type": "array", "items": CIDR_SCHEMA}]})


class Shared(Section):
    """What can be said of a group and, in ``override``, of one of its interfaces."""

    mode: Annotated[
        str,
        one_of("private", "vepa", "bridge"),
        Field(
            description="What macvlans of one NIC do with packets for each other. private: nothing. vepa: they go out, "
            "and a switch may send them back. bridge: they are handed over; every broadcast is then copied to all N.",
            examples=["private"],
        ),
    ] = "private"
    mac: Annotated[
        str,
        MacOrAuto,
        Field(
            description="The MAC. auto: locally administered, derived from machine-id and interface name, always "
            "the same.",
            examples=["auto", "02:4e:65:6f:00:03"],
        ),
    ] = "auto"
    ipv4: Annotated[
        tuple[IPv4Interface, ...] | str,
        Ipv4,
        Field(
            description="Where the IPv4 addresses come from. dhcp: neod leases one for each interface. Or a list of "
            "static addresses in CIDR form, one for each interface, in the order of their numbers.",
            examples=["dhcp", ["10.8.0.5/16", "10.8.0.6/16"]],
            validate_default=True,
        ),
    ] = "dhcp"
    gateway: Annotated[
        IPv4Address | None,
        Address,
        Field(
            description="The router of static addresses; required with them, and not allowed without.",
            examples=["10.8.0.1"],
        ),
    ] = None
    mtu: Annotated[
        int | None,
        integer(576, 65535),
        Field(
            description="MTU in bytes. Absent: that of the parent, which is also the largest: the smaller of the "
            "two is used.",
            examples=[1400],
        ),
    ] = None
    mptcp: Annotated[
        tuple[str, ...],
        Mptcp,
        Field(
            description="Flags of the MPTCP endpoint of each address: subflow, signal, backup, fullmesh. An empty list "
            "makes no endpoints.",
            examples=[["subflow"]],
        ),
    ] = ("subflow",)


def _without_defaults(schema: dict[str, Any]) -> None:
    for key in schema["properties"].values():
        key.pop("default", None)


class Override(Shared):
    """What is different for one interface of the group. What is not said here is as in the group."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    parent: Annotated[str, LinkName, Field(description="The NIC below this interface.", examples=["ens4"])] = ""
    ipv4: Annotated[
        tuple[IPv4Interface, ...] | str,
        Ipv4,
        Field(description="dhcp, or its static address in CIDR form.", examples=["dhcp", "10.8.0.5/16"]),
    ] = ()
    table_base: Annotated[
        int,
        integer(0, checks.LAST_TABLE),
        Field(description="The table is this plus the number in the name.", examples=[100]),
    ] = 0
    table: Annotated[
        int | None, TableNumber, Field(description="The routing table itself, whatever the number.", examples=[133])
    ] = None


class Group(Shared):
    """A group of macvlans, numbered from its name: the group neo has neo1, neo2 and so on."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [key]} for key in ("count", "ids", "macs")]})

    parent: Annotated[
        str,
        LinkName,
        Field(description="The NIC that the macvlans are put on. It must not be a macvlan itself.", examples=["ens3"]),
    ]
    count: Annotated[
        int | None,
        integer(1, checks.MOST_INTERFACES),
        Field(description="How many: they have the numbers 1 to count. Or say ids, or macs.", examples=[8]),
    ] = None
    ids: Annotated[
        tuple[int, ...] | str | None,
        Numbers,
        Field(description="Their numbers, as ranges. Instead of count.", examples=["1-5,9"]),
    ] = None
    macs: Annotated[
        tuple[str, ...] | None,
        Macs,
        Field(
            description="Their MACs: one interface for each, numbered from 1. Instead of count.",
            examples=[["02:4e:65:6f:00:01", "02:4e:65:6f:00:02"]],
        ),
    ] = None
    table_base: Annotated[
        int,
        integer(0, checks.LAST_TABLE),
        Field(
            description="The routing table of an interface is this plus the number in its name: with 0, neo3 has table "
            "3. From 253 interfaces on another base is needed, for the kernel has tables 253 to 255 for itself.",
            examples=[1000],
        ),
    ] = 0
    override: Annotated[
        dict[Annotated[str, LinkName], Override],
        Field(
            default_factory=dict,
            description="Interfaces of the group that differ, by name, and in what.",
            examples=[{"neo3": {"mtu": 1400}}],
        ),
    ]
