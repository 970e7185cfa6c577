"""Desired state: what all fragments want together, by canonical key, indexed by place and by dependency. Pure."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from neod.model.key import Key, Place
from neod.model.kind import Kind, needs_of
from neod.model.want import FactKey, Facts, Fragment, Origin, Want


class DesiredState:
    """What should exist, and why. An update costs what its fragments cost, not what the host holds.

    ``suspended`` (`neodctl down`): nothing is desired, whatever the file says;
    what it says is kept up to date meanwhile.
    """

    def __init__(self, kinds: Mapping[str, Kind[Any, Any]]) -> None:
        self._kinds = kinds
        self._wants: dict[Key, Want] = {}  # key and spec as the kernel will report them back
        self._specs: dict[Key, object] = {}
        self._places: defaultdict[Place, dict[Key, None]] = defaultdict(dict)
        self._dependents: defaultdict[Key, set[Key]] = defaultdict(set)
        self._fragments: dict[str, Fragment] = {}
        self._of_fragment: dict[str, dict[Key, Want]] = {}
        self._holders: dict[Key, tuple[str, ...]] = {}  # the fragments that want a key, sorted; the first counts
        self._readers: dict[FactKey, list[str]] = {}  # the fragments that need a fact
        self._missing: dict[str, tuple[str, ...]] = {}
        self.suspended = False

    @property
    def wants(self) -> Mapping[Key, Want]:
        """What the file asks for and why, also while suspended."""
        return MappingProxyType(self._wants)

    @property
    def specs(self) -> Mapping[Key, object]:
        """What should exist now."""
        return {} if self.suspended else self._specs

    @property
    def written(self) -> Mapping[Key, object]:
        """What the file asks for, also while suspended."""
        return MappingProxyType(self._specs)

    def of(self, place: Place) -> Collection[Key]:
        """Return what should exist of one kind in one namespace."""
        return () if self.suspended else self._places.get(place, {}).keys()

    def of_entry(self, name: str) -> list[Key]:
        """Return what an entry of the file wants, ``macvlans.neo``, or a fragment of it; also while suspended."""
        units = [wants for unit, wants in self._of_fragment.items() if unit == name or unit.startswith(f"{name}/")]
        return [key for wants in units for key in wants] or [k for k, w in self._wants.items() if w.origin.path == name]

    def origin_of(self, unit: str) -> Origin | None:
        """Return what of the file a fragment is made of; None where neither it nor what it wants says that."""
        wanted = (want.origin for want in self._of_fragment.get(unit, {}).values())
        return next(wanted, None) or getattr(self._fragments.get(unit), "origin", None)

    def of_table_named(self, name: str) -> list[Key]:
        """Return what tables of the file with that name want, of whatever sort: ``neo`` is ``[macvlans.neo]``."""
        wanted = () if self.suspended else self._wants.items()
        return [key for key, want in wanted if want.origin.path.partition(".")[2].strip('"') == name]

    def within(self, netns: str) -> set[Key]:
        """Return what should exist in a namespace."""
        return {key for kind in self._kinds for key in self.of((netns, kind))}

    def namespaces(self) -> set[str]:
        """Return the names of the namespaces in which the file asks for something, without neod's own."""
        return {netns for (netns, _), keys in self._places.items() if netns and keys}

    def waiting(self) -> Mapping[str, tuple[str, ...]]:
        """Return which facts each incomplete fragment waits for, by the fragment's name."""
        return {} if self.suspended else dict(self._missing)

    def remarks(self, facts: Facts) -> Iterable[str]:
        """Return what the file says and has no effect, as *facts* are; what several fragments say, once."""
        found = (text for fragment in self._fragments.values() for text in fragment.remarks(facts))
        return dict.fromkeys(found)

    def is_required(self, key: Key) -> bool:
        """Whether something that the file asks for requires *key*."""
        return bool(self._dependents.get(key))

    def dependents_of(self, key: Key) -> Iterator[Key]:
        """Yield what cannot exist without *key*, directly or through others."""
        found: set[Key] = set()
        waiting = [key]
        while waiting:
            for dependent in sorted(self._dependents.get(waiting.pop(), ()), key=str):
                if dependent not in found:
                    found.add(dependent)
                    waiting.append(dependent)
                    yield dependent

    def suspend(self) -> None:
        """Desire nothing from now on."""
        self.suspended = True

    def reinstate(self) -> None:
        """Desire what the file says."""
        self.suspended = False

    def replace(self, fragments: Iterable[Fragment], facts: Facts) -> set[Key]:
        """Work from *fragments* alone; return the keys whose spec appeared, vanished or changed."""
        removed = self._fragments
        self._fragments = {fragment.name: fragment for fragment in fragments}
        self._readers = {}
        for name, fragment in self._fragments.items():
            for need in fragment.needs:
                self._readers.setdefault(need, []).append(name)
        return self._compile([*(name for name in removed if name not in self._fragments), *self._fragments], facts)

    def update(self, fact_keys: Iterable[FactKey], facts: Facts) -> set[Key]:
        """Compile the fragments that need *fact_keys*; return the keys whose spec appeared, vanished or changed."""
        return self._compile(dict.fromkeys(name for key in fact_keys for name in self._readers.get(key, ())), facts)

    def _compile(self, names: Iterable[str], facts: Facts) -> set[Key]:
        before: dict[Key, Want | None] = {}
        for name in names:
            fragment = self._fragments.get(name)
            for key, old in self._hold_all(name, self._canonical(fragment, facts)).items():
                before.setdefault(key, old)
            if fragment is not None and (texts := fragment.waits_for(facts)):
                self._missing[name] = texts
            else:
                self._missing.pop(name, None)
        return {key for key, old in before.items() if _differ(old, self._wants.get(key))}

    def _canonical(self, fragment: Fragment | None, facts: Facts) -> dict[Key, Want]:
        """Return what a fragment wants, each key and spec the way the kernel will report it back."""
        found: dict[Key, Want] = {}
        for want in fragment.compile(facts) if fragment is not None else ():
            key, spec = self._kinds[want.key.kind].normalize(want.key, want.spec)
            found[key] = want if key is want.key and spec is want.spec else replace(want, key=key, spec=spec)
        return found

    def _hold_all(self, name: str, wants: dict[Key, Want]) -> Mapping[Key, Want | None]:
        """Let the fragment want exactly *wants*; return what was wanted before, by each key that this touched.

        The first time, and where no other fragment wants any of it, the dicts
        are merged as they are: hashing keys is what a large start costs.
        """
        before = self._of_fragment.get(name, {})
        self._of_fragment[name] = wants
        if not before and self._holders.keys().isdisjoint(wants):
            self._wants.update(wants)
            self._holders.update(dict.fromkeys(wants, (name,)))
            for key, want in wants.items():
                self._link(key, want.spec)
            return dict.fromkeys(wants)
        touched = {key: self._hold(key, name) for key in {**before, **wants}}
        if not wants:
            del self._of_fragment[name]
        return touched

    def _hold(self, key: Key, name: str) -> Want | None:
        """Add the fragment to the holders of *key*, or take it away; return what was wanted until now."""
        had, mine = self._holders.get(key, ()), self._of_fragment[name].get(key)
        old = self._wants.get(key)
        if had == (name,) and mine is not None:  # as nearly always, when a fragment is compiled again
            new: Want | None = mine
        elif holders := _with(had, name) if mine is not None else _without(had, name):
            self._holders[key] = holders
            new = self._of_fragment[holders[0]][key]
        else:
            new = None
            del self._holders[key]
        self._relink(key, old, new)
        return old

    def _relink(self, key: Key, old: Want | None, new: Want | None) -> None:
        """Let *new* be wanted instead of *old*. Where specs are equal, what they require may yet differ."""
        if new is None:
            del self._wants[key]
        else:
            self._wants[key] = new
        if old is None or new is None:
            if old is not None:
                self._unlink(key, old.spec)
            if new is not None:
                self._link(key, new.spec)
        else:
            self._specs[key] = new.spec
            kind = self._kinds[key.kind]
            before, after = tuple(needs_of(kind, key, old.spec)), tuple(needs_of(kind, key, new.spec))
            if before != after:
                self._unlink(key, old.spec)
                self._link(key, new.spec)

    def _link(self, key: Key, spec: object) -> None:
        self._specs[key] = spec
        self._places[key.netns, key.kind][key] = None
        for need in needs_of(self._kinds[key.kind], key, spec):
            self._dependents[need].add(key)

    def _unlink(self, key: Key, spec: object) -> None:
        for need in needs_of(self._kinds[key.kind], key, spec):
            self._dependents[need].discard(key)
        del self._specs[key], self._places[key.netns, key.kind][key]


def _without(holders: tuple[str, ...], name: str) -> tuple[str, ...]:
    at = bisect_left(holders, name)  # they are sorted, and a thousand forwards want one sysctl
    return holders[:at] + holders[at + 1 :] if holders[at : at + 1] == (name,) else holders


def _with(holders: tuple[str, ...], name: str) -> tuple[str, ...]:
    at = bisect_left(holders, name)
    return holders if holders[at : at + 1] == (name,) else (*holders[:at], name, *holders[at:])


def _differ(one: Want | None, other: Want | None) -> bool:
    """Whether one is wanted and the other not, or with another spec. Another reason is no difference."""
    if one is None or other is None:
        return one is not other
    return one.spec != other.spec
