"""What the kernel said at the last read, by namespace and kind. Never the basis of a deletion by itself."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from neod.model.change import Seen
from neod.model.key import Key, Place
from neod.reconcile.diff import Kinds

K = TypeVar("K", bound=Key)


class Observed(Mapping[Key, Seen[Any]]):
    """A mapping of keys to what was seen, with what each object provides."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._places: dict[Place, dict[Key, Seen[Any]]] = {}
        self._provided: Counter[Key] = Counter()
        self._made: set[Key] = set()

    def __getitem__(self, key: Key) -> Seen[Any]:
        return self._places[key.netns, key.kind][key]

    def get(self, key: Key, default: Any = None) -> Any:
        """Return what was seen of *key*; cheaper than the mixin's, which raises inside."""
        place = self._places.get((key.netns, key.kind))
        return default if place is None else place.get(key, default)

    def __contains__(self, key: object) -> bool:
        return self.get(key) is not None  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Key]:
        for place in self._places.values():
            yield from place

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def of(self, place: Place) -> Mapping[Key, Seen[Any]]:
        """Return what was seen of one kind in one namespace."""
        return self._places.get(place, {})

    def named_by(self, key_type: type[K], netns: str) -> Mapping[K, Seen[Any]]:
        """Return what was seen in a namespace under keys of one type."""
        return cast("Mapping[K, Seen[Any]]", self.of((netns, key_type.kind)))

    def present(self, key: Key) -> bool:
        """Whether the object was seen as others can use it, or something that provides it was."""
        seen = self.get(key)
        return (seen is not None and self._kinds(key).usable(seen.spec)) or self._provided[key] > 0

    def set(self, key: Key, seen: Seen[Any]) -> None:
        place = self._places.setdefault((key.netns, key.kind), {})
        if key not in place:
            self._count(key, 1)
        place[key] = seen
        if seen.owned:
            self._made.add(key)

    def discard(self, key: Key) -> None:
        """Note that one object is gone."""
        if self._places.get((key.netns, key.kind), {}).pop(key, None) is not None:
            self._count(key, -1)

    def replace(self, place: Place, seen: Mapping[Any, Seen[Any]]) -> None:
        """Note all objects of one kind: what is not in *seen* is gone."""
        for key in [key for key in self.of(place) if key not in seen]:
            self.discard(key)
        for key, value in seen.items():
            self.set(key, value)

    def update(self, asked: Collection[Key], seen: Mapping[Any, Seen[Any]]) -> None:
        """Note the answer to a question about *asked*: what of them is not in *seen* is gone."""
        for key in asked:
            if key not in seen:
                self.discard(key)
        for key, value in seen.items():
            self.set(key, value)

    def forget(self, netns: str) -> None:
        """Note that a namespace is gone with all that was in it."""
        for place in [place for place in self._places if place[0] == netns]:
            self.replace(place, {})
        self._made = {key for key in self._made if key.netns != netns}

    @property
    def made(self) -> Collection[Key]:
        """The keys under which an object of ours was seen or made, and not given up since.

        Of this process alone: a mark that is kept elsewhere than in the object
        outlives it, so after a restart the kernel's marks count, and nothing else.
        """
        return self._made

    def give_up(self, key: Key) -> None:
        """Note that nothing at *key* is ours any more: it was deleted because nothing asks for it."""
        self._made.discard(key)

    def _count(self, key: Key, by: int) -> None:
        for provided in self._kinds(key).provides(key):
            self._provided[provided] += by

    def owned(self) -> Iterable[Key]:
        """Yield everything that carries our mark."""
        return (key for key in self if self[key].owned)
