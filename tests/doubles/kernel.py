"""A kernel that is a dictionary: one generic driver for every kind, with faults and a count of writes.

Strict on purpose: an item put twice as new is refused with EEXIST, as the
kernel does. It is held to the same contract tests as the kernel, so that it
cannot drift from it.
"""

import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Key
from neod.model.kind import Kind, needs_of

Fault = Callable[[str, Key | None], int]
"""(verb, key) -> errno to fail with, 0 to go on. Verbs: observe, put, drop."""


def no_fault(verb: str, key: Key | None) -> int:
    """Return 0: everything works."""
    return 0


class FakeKernel:
    """The objects of all kinds, owned and foreign."""

    def __init__(self, kinds: Iterable[Kind[Any, Any]]) -> None:
        self.kinds = {kind.name: kind for kind in kinds}
        self.objects: dict[Key, Seen[Any]] = {}
        self.writes = 0
        self.fault: Fault = no_fault

    def drivers(self, netns: str = "") -> "Fixed":
        """Return a driver for each kind."""
        return Fixed({(netns, name): FakeDriver(self, netns, kind) for name, kind in self.kinds.items()})

    def add_foreign(self, key: Key, spec: object) -> None:
        """Put an object there that is not ours."""
        key, spec = self.kinds[key.kind].normalize(key, spec)
        self.objects[key] = Seen(spec, False)

    def lose(self, key: Key) -> None:
        """Make an object go, and with it what cannot exist without it, as the kernel does."""
        self.objects.pop(key, None)
        for other, seen in list(self.objects.items()):
            if other in self.objects and key in needs_of(self.kinds[other.kind], other, seen.spec):
                self.lose(other)

    def has(self, key: Key) -> bool:
        """Whether the object, or something that provides it, exists."""
        return key in self.objects or any(key in self.kinds[k.kind].provides(k) for k in self.objects)

    def __str__(self) -> str:
        lines = (f"{key} {seen.spec}{'' if seen.owned else ' (foreign)'}" for key, seen in self.objects.items())
        return "\n".join(sorted(lines))


class FakeDriver:
    """One kind of one namespace of a ``FakeKernel``."""

    def __init__(self, kernel: FakeKernel, netns: str, kind: Kind[Any, Any]) -> None:
        self._kernel, self._netns, self._kind = kernel, netns, kind

    def _failing(self, verb: str, key: Key | None) -> KernelError | None:
        code = self._kernel.fault(verb, key)
        return KernelError(f"{verb} {key or self._kind.name}", code, "injected") if code else None

    async def observe(self, keys: Collection[Any]) -> Mapping[Any, Seen[Any]]:
        """Read *keys*."""
        if error := self._failing("observe", None):
            raise error
        return {key: self._kernel.objects[key] for key in keys if key in self._kernel.objects}

    async def observe_all(self, wanted: Collection[Any]) -> Mapping[Any, Seen[Any]]:
        """Read everything of the kind."""
        if error := self._failing("observe", None):
            raise error
        place = (self._netns, self._kind.name)
        return {key: seen for key, seen in self._kernel.objects.items() if (key.netns, key.kind) == place}

    async def put(self, items: Sequence[tuple[Any, Any, Any]]) -> Sequence[KernelError | None]:
        """Make every item so."""
        return [self._put(*item) for item in items]

    def _put(self, key: Any, spec: Any, have: Any) -> KernelError | None:
        if error := self._failing("put", key):
            return error
        objects, kind = self._kernel.objects, self._kind
        if have is None and key in objects:
            return KernelError(f"put {key}", errno.EEXIST, "exists")
        if not all(self._kernel.has(need) for need in needs_of(kind, key, spec)):
            return KernelError(f"put {key}", errno.ENODEV, "needs what is not there")
        self._kernel.writes += 1
        normal_key, normal_spec = kind.normalize(key, spec)
        objects[normal_key] = Seen(normal_spec, True)
        return None

    async def drop(self, keys: Sequence[Any]) -> Sequence[KernelError | None]:
        """Make every key not exist."""
        answers = []
        for key in keys:
            error = self._failing("drop", key)
            answers.append(error)
            if error is None and key in self._kernel.objects:
                self._kernel.writes += 1
                self._kernel.lose(key)
        return answers


class Fixed(dict[tuple[str, str], Any]):
    """Drivers of namespaces that neither come nor go."""

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield every (netns, kind)."""
        return iter(self)

    def driver(self, place: tuple[str, str]) -> Any:
        """Return the driver of a kind."""
        return self[place]

    def opened(self, netns: str) -> None:
        """Return nothing: no sockets are open there."""

    def close_stale(self) -> Iterable[str]:
        """Return nothing: none goes away."""
        return ()


class FakeClock:
    """Time that stands still unless told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def boottime(self) -> float:
        """Return the set time."""
        return self.now

    def wall(self) -> float:
        """Return the set time, as of the epoch."""
        return self.now

    def cpu(self) -> float:
        """Return nothing used: what is still costs nothing."""
        return 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
