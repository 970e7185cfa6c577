"""The contract of a family of kernel objects: a pure half and an effectful half."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Key, NetnsKey

K = TypeVar("K", bound=Key)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Poll:
    """How to look for changes that send no event."""

    every_s: float  # the shortest time between two looks
    at_most: int | None = None  # objects a look; None: all at once, where only that shows what should not be there
    cheap: bool = False  # what a look costs does not follow how much there is


class Kind(Protocol[K, S]):
    """What neo knows about one family of kernel objects. Pure."""

    name: ClassVar[str]
    frees_first: ClassVar[bool]  # deletes must precede creates (names, MACs and slots are exclusive)
    adopts: ClassVar[bool]  # a foreign object that differs is changed, not a conflict (sysctls exist anyway)
    exclusive: ClassVar[
        bool
    ]  # ``put`` of what was not seen is refused where it exists after all: no need to read first
    poll: ClassVar[Poll | None]  # None where events tell all

    def normalize(self, key: K, spec: S) -> tuple[K, S]:
        """Return the pair the way the kernel will report it back."""
        ...

    def matches(self, have: S, want: S) -> bool:
        """Whether *have* fulfils *want*; ``==`` but for what the kernel cannot round-trip."""
        ...

    def in_place(self, have: S, want: S) -> bool:
        """Whether the kernel can turn *have* into *want* without a re-creation."""
        ...

    def requires(self, key: K, spec: S) -> Iterable[Key]:
        """Return what must exist before the object, and outlive it."""
        ...

    def provides(self, key: K) -> Iterable[Key]:
        """Return the keys that exist because this object does, beside its own."""
        ...


class Driver(Protocol[K, S]):
    """What neo does to that family in one namespace. Every call may be repeated safely.

    All calls take many objects at once: the port sends a whole step in one go.
    """

    async def observe(self, keys: Collection[K]) -> Mapping[K, Seen[S]]:
        """Read *keys*. What is absent from the answer does not exist; more may be returned.

        Raises:
            KernelError: the kernel could not be read; nothing is known then.
        """
        ...

    async def observe_all(self, wanted: Collection[K]) -> Mapping[K, Seen[S]]:
        """Read *wanted*, everything owned, and everything that others can require.

        Raises:
            KernelError: the kernel could not be read; nothing is known then.
        """
        ...

    async def put(self, items: Sequence[tuple[K, S, S | None]]) -> Sequence[KernelError | None]:
        """Make every ``(key, spec, as last observed)`` so; one answer each."""
        ...

    async def drop(self, keys: Sequence[K]) -> Sequence[KernelError | None]:
        """Make every key not exist; what is already gone counts as done."""
        ...


@runtime_checkable
class Peeking(Protocol):
    """A driver that can tell, far more cheaply than it can read, that nothing changed."""

    def stirred(self) -> bool:
        """Whether anything may have changed since the last ``observe``, as far as no event tells."""
        ...


def needs_of(kind: Kind[Any, Any], key: Key, spec: Any) -> Iterable[Key]:
    """Return what the object needs: what its kind says, and the namespace it lives in."""
    needs = kind.requires(key, spec)
    return (NetnsKey("", key.netns), *needs) if key.netns else needs


Names = Callable[[int], str | None]
Touched = Callable[[str, memoryview, Names], Iterable[tuple[Key, bool]]]
"""(netns, payload, index -> name) -> the keys that a netlink event says to look at, and whether each has our mark."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the registry: a kind, how to make its driver from the ports, and its events."""

    kind: Kind[Any, Any]
    driver: Callable[[Any], Driver[Any, Any]]
    touched: Mapping[int, Touched] = field(default_factory=dict)  # by message type
