"""Names of kernel objects: what tells two of them apart, and nothing else.

Keys that several kinds depend on live here, so that kinds need not import
each other. The empty ``netns`` is the namespace neod itself runs in.
"""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, Protocol


class Key(Protocol):
    """A hashable name whose ``str()`` is stable and unique: ``kind:rest``."""

    kind: ClassVar[str]

    @property
    def netns(self) -> str: ...

    def __hash__(self) -> int: ...


Place = tuple[str, str]
"""One kind of objects in one namespace: (netns, kind name)."""


@functools.cache
def _fields_of(kind: type) -> Callable[[object], object]:
    return operator.attrgetter(*kind.__match_args__)  # type: ignore[attr-defined]


class Hashed:
    """A key that computes its hash once: addresses hash slowly, and a pass looks a key up dozens of times."""

    __slots__ = ("_hash",)
    _hash: int

    def __init_subclass__(cls) -> None:
        """Put the hash into the class itself, where ``dataclass`` leaves it alone."""
        cls.__hash__ = Hashed.__hash__  # type: ignore[method-assign]

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            kind: type = type(self)
            value = hash((kind.__name__, _fields_of(kind)(self)))
            object.__setattr__(self, "_hash", value)
            return value

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Leave the hash behind: strings hash differently in every process."""
        return type(self), tuple(getattr(self, name) for name in self.__match_args__)  # type: ignore[attr-defined]


def within(netns: str) -> str:
    """Return the prefix that names *netns* inside a key; nothing for neod's own."""
    return f"{netns}/" if netns else ""


@dataclass(frozen=True, slots=True)
class NetnsKey(Hashed):
    """A named network namespace, as ``ip netns`` lists it. Objects inside have its name as ``netns``."""

    kind: ClassVar[str] = "netns"
    netns: str  # where it is made from: always neod's own
    name: str

    def __str__(self) -> str:
        return f"netns:{self.name}"


@dataclass(frozen=True, slots=True)
class LinkKey(Hashed):
    """A link by name; its index does not survive a re-creation."""

    kind: ClassVar[str] = "link"
    netns: str
    name: str

    def __str__(self) -> str:
        return f"link:{within(self.netns)}{self.name}"


@dataclass(frozen=True, slots=True)
class AddressKey(Hashed):
    """An address on a link. IPv4 tells prefix lengths apart, so the key does."""

    kind: ClassVar[str] = "address"
    netns: str
    link: str
    ip: IPv4Address | IPv6Address
    prefix_length: int

    def __str__(self) -> str:
        return f"address:{within(self.netns)}{self.link}/{self.ip}/{self.prefix_length}"


@dataclass(frozen=True, slots=True)
class ArpKey(Hashed):
    """A NIC that answers for none of our addresses, or one of those addresses."""

    kind: ClassVar[str] = "arp"
    netns: str
    sort: str  # nic | address
    name: str

    def __str__(self) -> str:
        return f"arp:{within(self.netns)}{self.sort}/{self.name}"


@dataclass(frozen=True, slots=True)
class LocalKey(Hashed):
    """An address of this namespace, on whatever link: what a route's preferred source must be."""

    kind: ClassVar[str] = "local"
    netns: str
    ip: IPv4Address | IPv6Address

    def __str__(self) -> str:
        return f"local:{within(self.netns)}{self.ip}"


@dataclass(frozen=True, slots=True)
class SourceKey(Hashed):
    """The rule, whichever, that sends packets from one address into a table of its own."""

    kind: ClassVar[str] = "source"
    netns: str
    ip: IPv4Address | IPv6Address

    def __str__(self) -> str:
        return f"source:{within(self.netns)}{self.ip}"


@dataclass(frozen=True, slots=True)
class TableKey(Hashed):
    """A routing table of one family; it exists while it holds a route of ours."""

    kind: ClassVar[str] = "table"
    netns: str
    table: int
    version: int  # 4 or 6

    def __str__(self) -> str:
        return f"table:{within(self.netns)}{self.table}/ipv{self.version}"
