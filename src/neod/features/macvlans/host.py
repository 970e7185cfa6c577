"""What the host as a whole needs for many paths: room for neighbours. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.facts import Host
from neod.model.want import HOST, FactKey, Facts, Fragment, Origin, Want

NEIGHBOURS_A_PATH: Final = {"gc_thresh1": 4, "gc_thresh2": 8, "gc_thresh3": 16}
"""The neighbour table is one for all interfaces. Each path has entries of its own: gateway, DHCP server, and who else
of the segment it talks to. Above gc_thresh3 the kernel finds no room, and packets to a new gateway fail with
"neighbour table overflow"; below gc_thresh1 it never collects.

Source: net/core/neighbour.c, neigh_alloc.
"""


@dataclass(frozen=True, slots=True)
class HostFragment(Fragment):
    """The host: neighbour thresholds for so many paths. Larger values that somebody set are left alone."""

    paths: int
    origin: Origin
    leave: frozenset[str] = frozenset()  # sysctl paths that the file sets itself, to enough

    @property
    def name(self) -> str:
        return "host"

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return the host: only its first network namespace has the thresholds."""
        return (HOST,)

    def compile(self, facts: Facts) -> Iterator[Want]:
        host = facts.get(HOST)
        if not isinstance(host, Host) or not host.neighbour_thresholds:
            return
        for path, value in self.thresholds().items():
            if path not in self.leave:
                yield Want(SysctlKey("", path), SysctlSpec(str(value), at_least=True), self.origin)

    def thresholds(self) -> dict[str, int]:
        """Return how large each sysctl has to be at least."""
        return {f"net/ipv4/neigh/default/{name}": self.paths * each for name, each in NEIGHBOURS_A_PATH.items()}
