"""``[neighbours.NAME]``: a host whose MAC address is known without asking for it."""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Annotated, Final

from neod.features.neighbours.compile import NeighbourFragment

from neod.features.table import Table
from neod.features.validation.context import Context
from neod.features.validation.fields import Address, GroupName, LinkName, Mac, Section, toml_key


class Neighbour(Section):
    """A permanent neighbour entry."""

    link: str = toml_key(..., LinkName, "neo1").says("The link that the host is on.")
    ip: IPv4Address = toml_key(..., Address, "10.8.0.1").says("The address of the host.")
    mac: str = toml_key(..., Mac, "02:00:00:00:00:01").says("Its MAC address.")


def contribute(section: dict[str, Neighbour], context: Context) -> Iterator[object]:
    """Yield a fragment for each entry."""
    for name, one in sorted(section.items()):
        origin = context.origin("neighbours", name)
        context.claim("the neighbour", (one.link, one.ip), f"neighbours.{name}", ("neighbours", name, "ip"), "drop one")
        yield NeighbourFragment(f"neighbours.{name}", one.link, one.ip, one.mac, origin)


TABLE: Final = Table(
    about="Hosts whose MAC addresses are known without asking for them, by name.",
    section=dict[Annotated[str, GroupName], Neighbour],
    contribute=contribute,
)
