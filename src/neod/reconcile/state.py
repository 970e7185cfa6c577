"""What is known between passes. Made first: event sources, facts, passes and views all read it. No I/O."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from neod.model.change import Change
from neod.model.key import Key, Place
from neod.model.kind import Kind, needs_of
from neod.model.status import ObjectPhase
from neod.reconcile.desired import DesiredState
from neod.reconcile.diff import diff
from neod.reconcile.observed import Observed
from neod.reconcile.status import StatusTable


class HostState:
    """What should exist, what was seen, and how each object stands."""

    def __init__(self, kinds: Mapping[str, Kind[Any, Any]]) -> None:
        self.kinds = kinds
        self.desired = DesiredState(kinds)
        self.observed = Observed(self.kind_of)
        self.status = StatusTable()

    def kind_of(self, key: Key) -> Kind[Any, Any]:
        return self.kinds[key.kind]

    def needs_of(self, key: Key, spec: object) -> Iterable[Key]:
        """Return what an object with *spec* needs."""
        return needs_of(self.kind_of(key), key, spec)

    def differences(self, keys: Iterable[Key]) -> Iterator[Change]:
        """Yield what separates what was seen from what is desired, among *keys*."""
        return diff(keys, self.desired.specs, self.observed, self.kind_of, self.observed.made)

    def present(self, key: Key) -> bool:
        """Whether others can use *key*: it was seen, and no foreign object holds it."""
        status = self.status.out_of_sync.get(key)
        return self.observed.present(key) and not (status is not None and status.phase is ObjectPhase.CONFLICT)

    def is_relevant(self, place: Place) -> bool:
        """Whether the kind has desired or owned objects in the namespace, or others there leave it no room.

        What is not relevant is not polled.
        """
        seen = self.observed.of(place)
        if self.desired.of(place) or any(one.owned for one in seen.values()):
            return True
        return bool(seen) and self.kinds[place[1]].few_for_all and bool(self.desired.waiting())

    def relevant_keys(self, place: Place) -> Collection[Key]:
        """Return the desired and the owned keys of a kind in a namespace."""
        owned = (key for key, seen in self.observed.of(place).items() if seen.owned)
        return dict.fromkeys([*self.desired.of(place), *owned])

    def is_converged(self) -> bool:
        """Whether the kernel is what the file says, and nobody fights over it."""
        return self.is_in_sync() and not self.status.out_of_sync

    def is_in_sync(self) -> bool:
        """Whether the kernel is what the file says now; somebody may keep undoing it."""
        if self.desired.suspended or self.desired.waiting() or self.status.unsettled:
            return False
        return all(one.repaired for one in self.status.out_of_sync.values())

    def retry_refused(self, changed: Collection[Key], now: float, but: Collection[Key] = ()) -> set[Key]:
        """Let what was refused be tried at once if *changed* is, or provides, what it needs or what was in its way."""
        refused = self.status.refused_keys() if changed else set()
        if refused:
            changed = {*changed, *(provided for key in changed for provided in self.kind_of(key).provides(key))}
        found = {key for key in refused if self._waits_for(key, changed)}
        found.difference_update(but)
        self.status.retry_now(found, now)
        return found

    def _waits_for(self, key: Key, changed: Collection[Key]) -> bool:
        spec = self.desired.specs.get(key)
        needs = self.needs_of(key, spec) if spec is not None else ()
        return self.status.holder(key) in changed or any(need in changed for need in needs)

    def withdraw(self) -> None:
        """Desire nothing from now on, whatever the file says."""
        self.status.mark_all_deleted(self.desired.specs)
        self.desired.suspend()

    def reinstate(self) -> None:
        """Desire what the file says again, if nothing was desired."""
        if self.desired.suspended:
            self.desired.reinstate()
            self.note_requested(self.desired.specs)

    def note_requested(self, keys: Iterable[Key]) -> None:
        """Note that what is desired of *keys* changed: what comes next is no drift."""
        for key in keys:
            self.status.note_requested(key, key in self.desired.specs, asked=not self._is_renewal(key))

    def _is_renewal(self, key: Key) -> bool:
        """Whether *key* is there as wanted, and shall only stay for longer: a renewed lease is no other one."""
        want, seen = self.desired.specs.get(key), self.observed.get(key)
        return want is not None and seen is not None and seen.owned and self.kind_of(key).prolongs(seen.spec, want)
