"""Named network namespaces, as ``ip netns`` makes them. What lives inside is of other kinds."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import NetnsKey
from neod.model.kind import Entry, Kind, Poll, Source
from neod.model.ports import NetnsSeen, Ports
from neod.model.shown import IF_UNUSUAL

__all__ = ["NetnsDriver", "NetnsKey", "NetnsKind", "NetnsSpec"]


@dataclass(frozen=True, slots=True)
class NetnsSpec:
    """A namespace is there or not; *ours* is false of one that somebody else made.

    One of ours in which programs live, and which has lost its name, is there without being of use to anybody else. It
    counts as owned only while it has the name: where the file no longer asks for it, it ends with its programs.
    """

    ours: bool = field(default=True, metadata=IF_UNUSUAL)
    marked: bool = field(default=True, metadata=IF_UNUSUAL)  # it says itself that it is ours
    named: bool = field(default=True, metadata=IF_UNUSUAL)


class NetnsKind(Kind[NetnsKey, NetnsSpec]):
    """Names below /run/netns, followed by mount events; what a name stands for is polled."""

    name: ClassVar[str] = "netns"
    source: ClassVar[Source | None] = Source.MOUNT
    only_in_main: ClassVar[bool] = True
    moves_addresses: ClassVar[bool] = True
    poll: ClassVar[Poll | None] = Poll(1.0)

    def usable(self, have: NetnsSpec) -> bool:
        """Without its name nobody enters it; what is in it is looked at once it has that again."""
        return have.named

    def reclaims(self, have: NetnsSpec, want: NetnsSpec, *, made: bool) -> bool:
        """One of ours gets its name back; another one under the name is another's, with all that runs in it."""
        return not have.named


def seen_as(seen: NetnsSeen | None) -> Seen[NetnsSpec] | None:
    """Return what a name stands for; None where it may be made.

    The name is ours once we made it. One of ours in which somebody lives is given it back. Another namespace that has
    it now, and in which nobody lives, gives way to that one, or is taken over as one that is gone; what others use is
    theirs.
    """
    if seen is None or (seen.known and not (seen.ours or seen.older or seen.inhabited)):
        return None
    if seen.ours:
        return Seen(NetnsSpec(marked=seen.marked), True)
    if seen.older and not seen.inhabited:
        return Seen(NetnsSpec(named=False), False)
    return Seen(NetnsSpec(ours=False), False)


class NetnsDriver:
    """Namespaces, made from neod's own."""

    def __init__(self, ports: Ports) -> None:
        assert ports.namespaces is not None, "a kind that exists in neod's own namespace alone"
        self._port = ports.namespaces

    async def observe(self, keys: Collection[NetnsKey]) -> Mapping[NetnsKey, Seen[NetnsSpec]]:
        """Look at what the names stand for."""
        looked = [(key, seen_as(await self._port.look(key.name))) for key in sorted(keys, key=str)]
        return {key: seen for key, seen in looked if seen is not None}

    async def observe_all(self, wanted: Collection[NetnsKey]) -> Mapping[NetnsKey, Seen[NetnsSpec]]:
        """Look at *wanted*, and at what the file may have left over."""
        return await self.observe({*wanted, *(NetnsKey("", name) for name in self._port.standing())})

    async def put(self, items: Sequence[tuple[NetnsKey, NetnsSpec, NetnsSpec | None]]) -> Sequence[KernelError | None]:
        """Make every namespace, or give it its name back."""
        return [
            await self._answer(self._port.restore if before and not before.named else self._port.make, key)
            for key, _, before in items
        ]

    async def drop(self, keys: Sequence[NetnsKey]) -> Sequence[KernelError | None]:
        """Take the names away; programs inside go on where they are, without a name."""
        return [await self._answer(self._port.remove, key) for key in keys]

    @staticmethod
    async def _answer(call: Callable[[str], Awaitable[None]], key: NetnsKey) -> KernelError | None:
        try:
            await call(key.name)
        except KernelError as error:
            return error
        return None


ENTRIES: Final = (Entry(NetnsKind(), NetnsDriver),)
