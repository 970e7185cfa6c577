"""Reads from the kernel what hints name, and what must be read because of that."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, Final

from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Key, NetnsKey, Place
from neod.model.kind import CheapChangeProbe, Driver
from neod.model.ports import Clock
from neod.reconcile.ports import Drivers, FactSource
from neod.reconcile.queue import HintQueue, Hints
from neod.reconcile.state import HostState

READ_AGAIN_S: Final = 0.25


class Observer:
    """Keeps ``state.observed`` up to date. Nothing is decided about what could not be read."""

    def __init__(self, state: HostState, drivers: Drivers, clock: Clock, queue: HintQueue, facts: FactSource) -> None:
        self._state, self._drivers, self._clock, self._queue, self._facts = state, drivers, clock, queue, facts
        self._desired, self._observed = state.desired, state.observed
        self._ranks = {name: rank for rank, name in enumerate(state.kinds)}
        self.unreadable: dict[Place, KernelError] = {}  # why places could not be read at the last attempt
        self.changed: set[Key] = set()  # what the last look at single keys found otherwise than before
        self._cpu_s: dict[Place, float] = {}
        self._fingerprints: dict[Place, object] = {}  # of what the last full read of a pass found, while that holds

    def cpu_s(self, place: Place) -> float:
        """Return the processor time that the last full read of a kind took."""
        return self._cpu_s.get(place, 0.0)

    def is_unchanged(self, place: Place) -> bool:
        """Whether a kind is what the last full read of a pass found, as far as a cheap probe tells.

        What others read, for a plan say, does not count: they repair nothing.
        """
        try:
            driver = self._drivers.driver(place)
            known = self._fingerprints.get(place, self)
            return isinstance(driver, CheapChangeProbe) and driver.fingerprint() == known
        except KernelError:
            return False  # the pass says what is wrong

    def note_changed(self, places: Iterable[Place]) -> None:
        """Trust no probe of these places before the next full read: what is there is not what the last one found.

        Else somebody who brings that back, with a snapshot that was saved before our write, would change nothing.
        """
        for place in places:
            self._fingerprints.pop(place, None)

    async def observe(self, hints: Hints) -> set[Key]:
        """Read what *hints* name; return the keys that the pass decides on."""
        self.changed.clear()
        self._trust_deletions(hints.gone)
        asked = {key for key in hints.keys if not self._can_create_unread(key)}
        scope = hints.keys.keys() - asked
        for netns in self._drivers.close_stale():
            self._observed.forget(netns)
            gone = NetnsKey("", netns)
            asked |= {gone, *self._desired.within(netns), *self._desired.dependents_of(gone)}
        for place in list(self._drivers.places()):
            if hints.everything or place in hints.kinds:
                scope |= await self._observe_place(place)
        scope |= await self._observe_unopened()
        if hints.everything:
            scope |= self._forget_absent_namespaces()
        for key in hints.deep:
            asked.update(self._desired.dependents_of(key))
        scope |= await self._observe_keys(asked - scope)
        changed = {key for key in await self._facts.refresh() if key not in scope}
        return scope | await self._observe_keys(changed) | self._unblocked()

    async def read_all(self, place: Place, wanted: Collection[Key]) -> dict[Key, Seen[Any]]:
        """Read a kind; what foreign objects hold is read by name, since a full read may leave them out.

        Raises:
            KernelError: it cannot be read.
        """
        driver: Driver[Any, Any] = self._drivers.driver(place)
        seen = dict(await driver.observe_all(wanted))
        made = self._observed.made
        lost = (key for key in wanted if key in made and key not in seen)
        if held := {*lost, *(key for key in wanted if self._state.status.maybe_foreign(key))}:
            seen |= await driver.observe(sorted(held, key=str))
        return seen

    def _trust_deletions(self, keys: Iterable[Key]) -> None:
        """Trust RTM_DEL* for kinds created with NLM_F_EXCL: a wrong deletion then fails with EEXIST.

        Rules can only be read all at once: looking for one of a thousand would take longer than its repair.
        """
        for key in keys:
            if self._state.kind_of(key).create_fails_if_exists and key in self._desired.specs and not key.netns:
                self._observed.discard(key)

    def _can_create_unread(self, key: Key) -> bool:
        """Whether we can create the object without reading it first: NLM_F_EXCL detects a race."""
        known = key in self._observed or key in self._state.status.out_of_sync or bool(key.netns)
        return not known and key in self._desired.specs and self._state.kind_of(key).create_fails_if_exists

    async def _observe_unopened(self) -> set[Key]:
        """Read namespaces that are wanted, there, and not open yet."""
        scope: set[Key] = set()
        opened = {netns for netns, _ in self._drivers.places()}
        for netns in sorted(self._desired.namespaces() - opened):
            if self._state.present(NetnsKey("", netns)):
                for name, kind in self._state.kinds.items():
                    if not kind.only_in_main:
                        scope |= await self._observe_place((netns, name))
        return scope

    def _forget_absent_namespaces(self) -> set[Key]:
        """Return what is wanted in namespaces that are not there."""
        scope: set[Key] = set()
        for netns in self._desired.namespaces():
            if not self._state.present(NetnsKey("", netns)):
                self._observed.forget(netns)
                scope |= self._desired.within(netns)
        return scope

    async def _observe_place(self, place: Place) -> set[Key]:
        begun = self._clock.cpu()
        wanted = self._desired.of(place)
        try:
            driver = self._drivers.driver(place)
            before = driver.fingerprint() if isinstance(driver, CheapChangeProbe) else None
            seen = await self.read_all(place, wanted)
        except KernelError as error:
            self._cannot_read(place, error)
            return set()
        self.unreadable.pop(place, None)
        self._fingerprints[place] = before
        self._cpu_s[place] = self._clock.cpu() - begun
        self._observed.replace(place, seen)
        return {*wanted, *seen}

    async def _observe_keys(self, keys: Iterable[Key]) -> set[Key]:
        """Read single keys; a link that went, came or changed its state takes its dependents along."""
        scope: set[Key] = set()
        waiting = set(keys)
        while waiting:
            by_place: defaultdict[Place, set[Key]] = defaultdict(set)
            for key in waiting:
                by_place[key.netns, key.kind].add(key)
            scope |= waiting
            waiting = set()
            for place in sorted(by_place, key=self._rank):  # links first: they name the indexes
                # By name: what is asked of the kernel, and when, is the same in every process.
                seen, also = await self._read(place, sorted(by_place[place], key=str))
                scope |= seen
                waiting |= also - scope
        return scope

    async def _read(self, place: Place, keys: Collection[Key]) -> tuple[set[Key], set[Key]]:
        """Return the keys that were read, and those that must be read because of them."""
        kind, before = self._state.kinds[place[1]], {key: self._observed.get(key) for key in keys}
        if place[0] and not self._state.present(NetnsKey("", place[0])):
            self._observed.forget(place[0])
            return set(), set()
        try:
            seen = await self._drivers.driver(place).observe(keys)
        except KernelError as error:
            self._cannot_read(place, error)
            return set(), set()
        self.unreadable.pop(place, None)
        self._observed.update(keys, seen)
        also: set[Key] = set()
        for key, old in before.items():
            if old != self._observed.get(key):
                self.changed.add(key)
                self.note_changed([place])
            if kind.loses_dependents(old, self._observed.get(key)):
                also.update(self._desired.dependents_of(key))
        return set(seen), also

    def _cannot_read(self, place: Place, error: KernelError) -> None:
        """Decide nothing about what could not be read, and look again soon."""
        self.unreadable[place] = error
        loop = asyncio.get_running_loop()
        loop.call_later(READ_AGAIN_S, self._queue.hint_kind, place, f"could not read: {error}")

    def _unblocked(self) -> set[Key]:
        """Return what was blocked and is so no longer."""
        blocked = self._state.status.blocked_keys()
        return {key for key, needs in blocked.items() if any(self._state.present(need) for need in needs)}

    def _rank(self, place: Place) -> tuple[str, int]:
        """Order places: our own namespace first, and kinds as registered."""
        return place[0], self._ranks[place[1]]
