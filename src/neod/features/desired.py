"""Desired state: what all units want together, kept up to date one unit at a time. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from neod.features.intents import Intents
from neod.model.facts import Host
from neod.model.key import Key
from neod.model.want import FactKey, Facts, Fragment, Want

ANY_HOST: Final[Facts] = {FactKey("host"): Host(machine_id="any")}


class Desired:
    """What should exist, by key. An update costs what its units cost, not what the host holds."""

    def __init__(self, intents: Intents) -> None:
        self._wants: dict[Key, Want] = {}
        self.wants: Mapping[Key, Want] = MappingProxyType(self._wants)
        self._adopt(intents)

    def _adopt(self, intents: Intents) -> None:
        self._wants.clear()
        self._units: dict[str, Fragment] = {unit.name: unit for unit in intents.fragments}
        self._of_unit: dict[str, dict[Key, Want]] = {}
        self._holders: dict[Key, tuple[str, ...]] = {}  # keys that several units want, and which; the first counts
        self._waits: dict[str, tuple[str, ...]] = {}
        self._needing: dict[FactKey, list[str]] = {}
        for name, unit in self._units.items():
            for need in unit.needs:
                self._needing.setdefault(need, []).append(name)

    def compile_all(self, facts: Facts) -> set[Key]:
        """Compile every unit; return the keys whose want appeared, vanished or changed."""
        return self._compile(self._units, facts)

    def update(self, fact_keys: Iterable[FactKey], facts: Facts) -> set[Key]:
        """Compile the units that need *fact_keys*; return the keys whose want appeared, vanished or changed."""
        names = dict.fromkeys(name for key in fact_keys for name in self._needing.get(key, ()))
        return self._compile(names, facts)

    def replace(self, intents: Intents, facts: Facts) -> set[Key]:
        """Work from *intents* instead; return the keys whose want appeared, vanished or changed."""
        before = dict(self._wants)
        self._adopt(intents)
        self.compile_all(facts)
        return _changed(before, self._wants)

    def waiting(self) -> Mapping[str, tuple[str, ...]]:
        """Return what each unit that is not complete waits for, by the unit's name."""
        return dict(self._waits)

    def _compile(self, names: Iterable[str], facts: Facts) -> set[Key]:
        before: dict[Key, Want | None] = {}
        for name in names:
            unit = self._units[name]
            for key, want in self._put(name, {want.key: want for want in unit.compile(facts)}).items():
                before.setdefault(key, want)
            if texts := unit.waits_for(facts):
                self._waits[name] = texts
            else:
                self._waits.pop(name, None)
        return {key for key, want in before.items() if _differ(want, self._wants.get(key))}

    def _put(self, name: str, wants: dict[Key, Want]) -> Mapping[Key, Want | None]:
        """Let the unit want exactly *wants*; return what was wanted before, by each key that this touched.

        The first time, and where no other unit wants any of it, the dicts
        are merged as they are: hashing keys is what a large start costs.
        """
        before = self._of_unit.get(name, {})
        self._of_unit[name] = wants
        if not before:
            size = len(self._wants) + len(wants)
            self._wants.update(wants)
            if len(self._wants) == size:
                self._holders.update(dict.fromkeys(wants, (name,)))
                return dict.fromkeys(wants)
        return {key: self._hold(key, name, before) for key in {**before, **wants}}

    def _hold(self, key: Key, name: str, before: Mapping[Key, Want]) -> Want | None:
        """Add the unit to the holders of *key*, or take it away; return what was wanted until now."""
        had = self._holders.get(key, ())
        old = None if not had else before[key] if had[0] == name else self._of_unit[had[0]][key]
        at = bisect_left(had, name)  # they are sorted, and a thousand forwards want one sysctl
        others = had[at + 1 :] if had[at : at + 1] == (name,) else had[at:]
        holders = (*had[:at], name, *others) if key in self._of_unit[name] else (*had[:at], *others)
        if holders:
            self._wants[key] = self._of_unit[holders[0]][key]
            self._holders[key] = holders
        else:
            del self._wants[key], self._holders[key]
        return old


def _differ(one: Want | None, other: Want | None) -> bool:
    """Whether one is wanted and the other not, or with another spec. Another reason is no difference."""
    if one is None or other is None:
        return one is not other
    return one.spec != other.spec


def _changed(before: Mapping[Key, Want], after: Mapping[Key, Want]) -> set[Key]:
    return {key for key in before.keys() | after.keys() if _differ(before.get(key), after.get(key))}


def contradictions(units: Iterable[Fragment]) -> Iterator[tuple[Want, Want]]:
    """Yield two wants with one key and different specs, for each key where the file alone leads to that."""
    first: dict[Key, Want] = {}
    told: set[Key] = set()
    for unit in units:
        for want in unit.compile(ANY_HOST):
            other = first.setdefault(want.key, want)
            if other.spec != want.spec and want.key not in told:
                told.add(want.key)
                yield other, want
