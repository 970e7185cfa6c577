"""What may stand in ``[macvlans.GROUP]``."""

from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field

from neod.features.intents import Intents
from neod.features.validation import addresses, checks
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
    probe_key,
    release_key,
    toml_key,
)
from neod.features.validation.patterns import list_of
from neod.features.validation.text import Path


def _ipv4(value: object) -> tuple[IPv4Interface, ...]:
    """Return the static addresses; none for ``dhcp``."""
    if value == "dhcp":
        return ()
    if value == []:
        raise InvalidValue("an empty list has no addresses", 'write "dhcp", or one address for each interface')
    try:
        return (
            checks.each(addresses.host_address, value) if isinstance(value, list) else (addresses.host_address(value),)
        )
    except InvalidValue as invalid:
        raise invalid.or_else(
            'write "dhcp", or a list like ["10.8.0.5/16"] with an address for each interface'
        ) from None


Ipv4: Final = Validator(_ipv4, {"anyOf": [{"const": "dhcp"}, CIDR_SCHEMA, list_of(CIDR_SCHEMA, 1)]})


def _has_table(section: Any, _: Intents) -> str:
    return "every interface of the group has a table of its own" if getattr(section, "table", None) else ""


class Shared(Section):
    """What can be said of a group and, in ``override``, of one of its interfaces."""

    mode: str = toml_key("private", one_of("private", "vepa", "bridge"), "private").says(
        "What macvlans of one NIC do with packets for each other. private: nothing. vepa: they go out, and a switch "
        "may send them back. bridge: they are handed over; every broadcast is then copied to all N."
    )
    mac: str = toml_key("auto", MacOrAuto, "auto", "02:4e:65:6f:00:03").says(
        "The MAC. auto: locally administered, derived from machine-id and interface name, always the same."
    )
    ipv4: tuple[IPv4Interface, ...] | str = toml_key(
        "dhcp", Ipv4, "dhcp", ["10.8.0.5/16", "10.8.0.6/16"], validate_default=True
    ).says(
        "Where the IPv4 addresses come from. dhcp: neod leases one for each interface. Or a list of static addresses "
        "in CIDR form, one for each interface, in the order of their numbers."
    )
    gateway: IPv4Address | None = toml_key(None, Address, "10.8.0.1").says(
        "The router of static addresses; required with them, and not allowed without."
    )
    ipv6: str = toml_key("off", one_of("off", "follow"), "off").says(
        "off: none; no router advertisement is accepted, no address made, no route put into the main table. follow: "
        "what the kernel and other programs make of it; neod does nothing about it."
    )
    probe: str = probe_key()
    mtu: int | None = toml_key(None, integer(576, 65535), 1400).says(
        "MTU in bytes. Absent: that of the parent, which is also the largest: the smaller of the two is used."
    )
    release: bool = release_key()
    mptcp: tuple[str, ...] = toml_key(("subflow",), Mptcp, ["subflow"]).says(
        "Flags of the MPTCP endpoint of each address: subflow, signal, backup, fullmesh. An empty list makes no "
        "endpoints."
    )


def _without_defaults(schema: dict[str, Any]) -> None:
    for key in schema["properties"].values():
        key.pop("default", None)


class Override(Shared):
    """What is different for one interface of the group. What is not said here is as in the group."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    parent: str = toml_key("", LinkName, "ens4").says("The NIC below this interface.")
    ipv4: tuple[IPv4Interface, ...] | str = toml_key((), Ipv4, "dhcp", "10.8.0.5/16").says(
        "dhcp, or its static address in CIDR form."
    )
    table_base: int = toml_key(0, integer(0, checks.LAST_TABLE), 100).says(
        "The table is this plus the number in the name."
    )
    table: int | None = toml_key(None, TableNumber, 133).says("The routing table itself, whatever the number.")


class Group(Shared):
    """A group of macvlans, numbered from its name: the group neo has neo1, neo2 and so on."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [key]} for key in ("count", "ids", "macs")]})

    parent: str = toml_key(..., LinkName, "ens3").says(
        "The NIC that the macvlans are put on. It must not be a macvlan itself."
    )
    count: int | None = toml_key(None, integer(1, checks.MOST_INTERFACES), 8).says(
        "How many: they have the numbers 1 to count. Or say ids, or macs."
    )
    ids: tuple[int, ...] | str | None = toml_key(None, Numbers, "1-5,9").says(
        "Their numbers, as ranges. Instead of count."
    )
    macs: tuple[str, ...] | None = toml_key(None, Macs, ["02:4e:65:6f:00:01", "02:4e:65:6f:00:02"]).says(
        "Their MACs: one interface for each, numbered from 1. Instead of count."
    )
    table_base: int = toml_key(0, integer(0, checks.LAST_TABLE), 1000, idle=_has_table).says(
        "The routing table of an interface is this plus the number in its name: with 0, neo3 has table 3. From 253 "
        "interfaces on another base is needed, for the kernel has tables 253 to 255 for itself."
    )
    override: Annotated[
        dict[Annotated[str, LinkName], Override],
        Field(
            default_factory=dict,
            description="Interfaces of the group that differ, by name, and in what.",
            examples=[{"neo3": {"mtu": 1400}}],
        ),
    ]

    @property
    def numbers(self) -> Collection[int]:
        """Return the numbers of its interfaces; none where nothing says them."""
        if self.count is not None:
            return range(1, self.count + 1)
        return self.ids if isinstance(self.ids, tuple) else range(1, len(self.macs or ()) + 1)

    def counts_for(self, key: str) -> Sequence[Section]:
        """Return the group, if any interface has no override of its own, and those that leave *key* to it."""
        if key not in Override.model_fields:
            return (self,)
        if key == "mac" and self.macs:
            return ()
        plain = (self,) if len(self.override) < len(self.numbers) else ()
        return (*plain, *(self._with(one) for one in self.override.values() if key not in one.model_fields_set))

    def below(self) -> Iterator[tuple[Path, Section]]:
        for name, one in self.override.items():
            yield ("override", name), self._with(one)

    def _with(self, override: Override) -> Section:
        """Return *override* with what the group says where it says nothing."""
        said = {key: getattr(self, key) for key in Group.model_fields.keys() & Override.model_fields.keys()}
        said |= {key: getattr(override, key) for key in override.model_fields_set}
        return Override.model_construct(_fields_set=override.model_fields_set, **said)
