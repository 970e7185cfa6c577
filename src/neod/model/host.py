"""What the host is beside what neod makes of it: who listens, which addresses, who uses marks. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from neod.model.nat import Ip

EVERY_BIT: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A socket that takes what comes to a port."""

    protocol: str  # tcp | udp
    ip: Ip  # unspecified: any address
    port: int
    inode: int
    both: bool = False  # IPv6 that takes IPv4 too

    def takes(self, protocol: str, version: int) -> bool:
        """Whether packets of a protocol and IP version get to it."""
        return self.protocol == protocol and (self.ip.version == version or self.both)


@dataclass(frozen=True, slots=True)
class MarkUse:
    """Somebody else who compares or changes marks."""

    who: str  # ``ip rule 5210``, ``nft inet mangle prerouting``
    bits: int


@dataclass(frozen=True, slots=True)
class HostView:
    """The host at one moment."""

    listeners: tuple[ListeningSocket, ...] = ()
    programs: Mapping[int, str] = field(default_factory=dict)  # who has a socket, by its inode: "sshd[812]"
    addresses: Mapping[Ip, str] = field(default_factory=dict)  # with the interface
    links: frozenset[str] = frozenset()
    strict: frozenset[str] = frozenset()  # interfaces whose rp_filter is strict
    unreachable: frozenset[Ip] = frozenset()  # no route leads there
    marks: tuple[MarkUse, ...] = ()
    default: str = ""  # the interface of the main table's IPv4 default route
    lacking: str = ""  # what legacy tables cannot be written without


def bits_of(mark: int, mask: int) -> int:
    """Return the bits that a comparison with *mark* in *mask* depends on.

    One of the whole mark, as wg-quick's 0xca6c, is true of the same packets
    whatever others do with bits that it has not set.
    """
    return mark if mask == EVERY_BIT and mark else mask
