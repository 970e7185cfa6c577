"""Desired state as passes need it: canonical keys and specs, and who depends on what."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from neod.model.key import Key
from neod.model.kind import Kind, needs_of
from neod.model.want import Want

Place = tuple[str, str]


class Desire:
    """The wants of the file and the facts, normalised, with the reverse of ``requires``."""

    def __init__(self, kinds: Mapping[str, Kind[Any, Any]]) -> None:
        self._kinds = kinds
        self.wants: dict[Key, Want] = {}
        self.specs: dict[Key, object] = {}
        self._places: defaultdict[Place, dict[Key, None]] = defaultdict(dict)
        self._canonical: dict[Key, Key] = {}  # only where normalising changed the key
        self._dependents: defaultdict[Key, set[Key]] = defaultdict(set)

    def change(self, keys: Iterable[Key], wants: Mapping[Key, Want]) -> set[Key]:
        """Take over what *wants* says of *keys*; return the canonical keys that changed."""
        changed: set[Key] = set()
        for raw in keys:
            old = self._canonical.pop(raw, raw)
            if old in self.wants:
                self._forget(old)
                changed.add(old)
            want = wants.get(raw)
            if want is not None:
                changed.add(self._take(raw, want))
        return changed

    def _take(self, raw: Key, want: Want) -> Key:
        kind = self._kinds[raw.kind]
        key: Key
        key, spec = kind.normalize(raw, want.spec)
        if key != raw:
            self._canonical[raw] = key
        self.wants[key], self.specs[key] = want, spec
        self._places[key.netns, key.kind][key] = None
        for need in needs_of(kind, key, spec):
            self._dependents[need].add(key)
        return key

    def _forget(self, key: Key) -> None:
        for need in needs_of(self._kinds[key.kind], key, self.specs[key]):
            self._dependents[need].discard(key)
        del self.wants[key], self.specs[key], self._places[key.netns, key.kind][key]

    def of(self, place: Place) -> Collection[Key]:
        """Return what is desired of one kind in one namespace."""
        return self._places.get(place, {}).keys()

    def namespaces(self) -> set[str]:
        """Return the names of the namespaces in which something is desired, without neod's own."""
        return {netns for (netns, _), keys in self._places.items() if netns and keys}

    def update_origins(self, wants: Mapping[Key, Want]) -> None:
        """Take over the reasons of *wants* whose specs did not change: lines move when a file is edited."""
        for raw, want in wants.items():
            key = self._canonical.get(raw, raw)
            if key in self.wants:
                self.wants[key] = want

    def is_required(self, key: Key) -> bool:
        """Whether something desired requires *key*."""
        return bool(self._dependents.get(key))

    def dependents_of(self, key: Key) -> Iterator[tuple[Key, object]]:
        """Yield what cannot exist without *key*, directly or through others."""
        found: set[Key] = set()
        waiting = [key]
        while waiting:
            for dependent in sorted(self._dependents.get(waiting.pop(), ()), key=str):
                if dependent not in found:
                    found.add(dependent)
                    waiting.append(dependent)
                    yield dependent, self.specs[dependent]
