"""``[neighbours]``: hosts whose MAC addresses are known without asking for them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from neod.kinds.neighbour import NeighbourKey, NeighbourSpec

from neod.model.want import Facts, Fragment, Origin, Want
from neod.netlink.attributes import Ip


@dataclass(frozen=True, slots=True)
class NeighbourFragment(Fragment):
    """One entry."""

    name: str  # ``neighbours.printer``
    link: str
    ip: Ip
    mac: str
    origin: Origin

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield the entry."""
        yield Want(NeighbourKey("", self.link, self.ip), NeighbourSpec(self.mac), self.origin)
