"""The contract of a family of kernel objects: what neo knows of it (``Kind``, pure), and its effects (``Driver``)."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from neod.model.change import Seen
from neod.model.errors import KernelError, Obstacle
from neod.model.key import Key, NetnsKey
from neod.model.nat import Ruleset

K = TypeVar("K", bound=Key)
S = TypeVar("S")


Names = Callable[[int], str | None]
"""The name last seen for a link's index."""


@dataclass(frozen=True, slots=True)
class Mention:
    """One object that a message of the kernel is about."""

    key: Key
    owned: bool  # bears our mark
    deep: tuple[Key, ...] = ()  # what depends on these may have gone along, without messages of its own
    shows: Seen[Any] | None = None  # the object, where the message has all of it: if that is known, nothing is read
    same: bool = True  # it is the object last read under this key, and not its successor
    first: bool = False  # nothing was known of it before: it has come into being just now


@dataclass(frozen=True, slots=True)
class LinkNews:
    """What a message says of a link for everyone whose messages name it by index."""

    index: int
    name: str
    carrier: bool
    gone: bool = False
    moved: bool = False  # to another namespace


@dataclass(frozen=True, slots=True)
class Poll:
    """How to look for changes that send no event."""

    every_s: float  # the shortest time between two looks
    at_most: int | None = None  # objects a look; None: all at once, where only that shows what should not be there
    cheap: bool = False  # what a look costs does not follow how much there is


class Source(StrEnum):
    """What notifies of changes of a kind; a kind without one is polled.

    A message of rtnetlink names objects, see ``keys_of_event``. The others
    say no more than that something of the kind changed in a namespace.
    """

    RTNETLINK = "rtnetlink"
    NFTABLES = "nftables"
    MOUNT = "mount"


class Kind(Generic[K, S]):
    """What neo knows about one family of kernel objects, complete: whatever differs from kind to kind stands here.

    The defaults fit an object whose equality is "in sync", that can be changed
    in place, and that needs nothing. All methods are pure.
    """

    name: ClassVar[str]

    delete_before_create: ClassVar[bool] = False
    """Names, MACs and slots can be held once: what goes must go first."""

    takes_over_foreign: ClassVar[bool] = False
    """A foreign object that differs is changed, and no conflict: sysctls exist anyway."""

    create_fails_if_exists: ClassVar[bool] = False
    """Create uses NLM_F_EXCL, so the kernel reports an existing object; no read is needed first."""

    only_in_main: ClassVar[bool] = False
    """Exists in neod's own namespace alone."""

    few_for_all: ClassVar[bool] = False
    """There is a fixed number of them: those of others are watched while a part of the file waits for room."""
    reads_foreign: ClassVar[bool] = True
    """``observe_all`` returns the objects of others too; False where these may be a million."""

    moves_addresses: ClassVar[bool] = False
    """A change can change which addresses the host has, and so those that MPTCP subflows may use."""

    translates: ClassVar[bool] = False
    """Forwards and namespaces depend on it as a whole: their rows in ``status`` show its state. See ``ruleset``."""

    read_first: ClassVar[bool] = False
    """What the file asks for depends on it: it is read before the first pass, so that nothing is compiled twice."""

    leads_path: ClassVar[bool] = False
    """Of a path in sync, ``why`` explains this object."""

    poll: ClassVar[Poll | None] = None
    """How to look for changes without events; None where events are enough."""

    source: ClassVar[Source | None] = Source.RTNETLINK
    groups: ClassVar[tuple[int, ...]] = ()
    """Multicast groups of rtnetlink whose messages are about it."""

    messages: ClassVar[tuple[int, ...]] = ()
    """Types of the messages that ``keys_of_event`` reads."""

    deletions: ClassVar[tuple[int, ...]] = ()
    """Types of the messages after which an owned object counts as gone without being read again."""

    verbs: ClassVar[Mapping[int, str]] = {}
    """What its requests are called in error texts, by message type: the words of ``ip``."""

    def normalize(self, key: K, spec: S) -> tuple[K, S]:
        """Return the pair the way the kernel will report it back."""
        return key, spec

    def matches(self, have: S, want: S) -> bool:
        """Whether *have* fulfils *want*; ``==`` but for what the kernel cannot round-trip."""
        return have == want

    def in_place(self, have: S, want: S) -> bool:
        """Whether the kernel can turn *have* into *want* without a re-creation."""
        return True

    def prolongs(self, have: S, want: S) -> bool:
        """Whether turning *have* into *want* only keeps the object from ending by itself: done even while paused."""
        return False

    def reclaims(self, have: S, want: S, *, made: bool) -> bool:
        """Whether *have*, which does not bear our mark, is ours all the same: ``put`` sets the mark again.

        *made*: an object of ours was there, in this process; what it says of itself may tell more.
        """
        return made and not self.takes_over_foreign

    def requires(self, key: K, spec: S) -> Iterable[Key]:
        """Return what must exist before the object, and outlive it."""
        return ()

    def usable(self, have: S) -> bool:
        """Whether others can use the object as it is; if not, what depends on it waits until it is changed."""
        return True

    def provides(self, key: K) -> Iterable[Key]:
        """Return the keys that exist because this object does, beside its own."""
        return ()

    def path(self, key: K, spec: S | None, tables: Mapping[int, str]) -> str:
        """Return the name of the path that the object belongs to; empty for none. *tables*: paths by routing table."""
        return ""

    def names(self, key: K, spec: S | None) -> Iterable[str]:
        """Return what people call the object beside its key: what tables show of it, numbers, addresses."""
        return ()

    def carries(self, key: K, spec: S | None, tables: Mapping[int, str]) -> Iterable[str]:
        """Return the links whose packets need the object, or follow it. *tables*: paths by routing table."""
        return filter(None, (self.interface(key),))

    def interface(self, key: K) -> str:
        """Return the name of the interface that the object is; empty for anything else."""
        return ""

    def opens(self, key: K, dead_ends: Collection[str]) -> bool:
        """Whether it can decide which packets pass through this host. Nothing passes by the interfaces *dead_ends*."""
        name = self.interface(key)
        return name != "" and name not in dead_ends

    def ruleset(self, spec: S) -> Ruleset:
        """Return the rules of a kind that ``translates``."""
        return Ruleset()

    def address(self, key: K) -> IPv4Address | IPv6Address | None:
        """Return the address that the object is about, where its path does not show; None for none."""
        return None

    def conflict(self, have: S) -> str:
        """Return what people are told where a foreign object, *have*, holds the key."""
        return "a foreign object holds this name; neod leaves it alone"

    def columns(self, key: K, seen: Seen[S] | None) -> Mapping[str, object]:
        """Return the fields of its path's row in ``status`` that show the object; *seen* is None if it does not exist.

        See ``neod.control.verbs.status.PathRow``.
        """
        return {}

    def loses_dependents(self, before: Seen[S] | None, after: Seen[S] | None) -> bool:
        """Whether what depends on the object may have gone with this change, without messages of its own."""
        return False

    def keys_of_event(self, netns: str, message: int, payload: memoryview, names: Names) -> Iterable[Mention]:
        """Return the objects that a message is about."""
        return ()

    def steers(self, message: int, payload: memoryview) -> bool:
        """Whether a message is of a change, by anybody, that can turn the packets of any path."""
        return False

    def link_of_event(self, message: int, payload: memoryview) -> LinkNews | None:
        """Return the link that a message is about; None from every kind but links."""
        return None


class Driver(Protocol[K, S]):
    """What neo does to that family in one namespace. Every call may be repeated safely.

    All calls take many objects: the port sends a whole step in one batch.
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
class Explains(Protocol):
    """A driver that finds out who is in the way of what the kernel refused."""

    async def explain(self, refused: Sequence[tuple[Any, Any, KernelError]]) -> Sequence[Obstacle | None]:
        """Return what is in the way of each ``(key, spec, refusal)``; None where that is not known.

        Asked after a refusal only, so it may read all that it needs.

        Raises:
            KernelError: the kernel could not be read; nothing is known then.
        """
        ...


@runtime_checkable
class CheapChangeProbe(Protocol):
    """A driver with a cheap change check, a generation counter for instance.

    It remembers nothing: the passes do, so that no other reader takes a change away from them.
    """

    def fingerprint(self) -> object:
        """Return what is equal as long as nothing changed that no event tells of; what equals nothing if unknown.

        Raises:
            KernelError: the kernel cannot be read.
        """
        ...


def needs_of(kind: Kind[Any, Any], key: Key, spec: Any) -> Iterable[Key]:
    """Return what the object needs: what its kind says, and the namespace that it is in."""
    needs = kind.requires(key, spec)
    return (NetnsKey("", key.netns), *needs) if key.netns else needs


def path_of(kind: Kind[Any, Any], key: Key, spec: Any, tables: Mapping[int, str]) -> str:
    """Return the name of the path that the object belongs to; empty for none, as inside a namespace.

    A link there may have the name of one outside.
    """
    return "" if key.netns else kind.path(key, spec, tables)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the registry: a kind, and how to make its driver from the ports."""

    kind: Kind[Any, Any]
    driver: Callable[[Any], Driver[Any, Any]]
