"""The memory between passes: what is not in sync, what was refused, what is contested. No I/O.

It decides when a change is due, never what is true.
"""

import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from neod.model.change import Actor, Change, Op, Outcome
from neod.model.errors import KernelError
from neod.model.key import Key
from neod.model.status import ASKED, DriftKind, ObjectPhase, ObjectStatus
from neod.reconcile.backoff import backoff
from neod.reconcile.contention import RepairHistory

LOOK_AGAIN = frozenset({errno.EEXIST, errno.ENODEV, errno.ENOENT, errno.ESRCH})
"""Refusals that say our picture of the kernel was old: worth another look, soon."""

SLOW_RETRY_S = 60.0
"""How often a refusal for good is tried again: modules get loaded, limits get raised."""


class StatusTable:
    """Troubles, attempts and repairs, by key."""

    def __init__(self) -> None:
        self.out_of_sync: dict[Key, ObjectStatus] = {}
        self.asked: set[Key] = set()  # what is desired of these changed, and no pass has planned since
        self._in_hand: set[Key] = set()  # of those, what the pass that runs decides on
        self._settled: set[Key] = set()  # was in-sync with what is desired now
        self._retired: set[Key] = set()  # no longer desired, by the file or a fact
        self._repairs: dict[Key, RepairHistory] = {}
        self._actors: dict[Key, Actor] = {}  # who undid a repair last

    def note_requested(self, key: Key, wanted: bool, *, asked: bool = True) -> None:
        """Note that the desired state of *key* changed: what comes next is no drift.

        *asked*: it is not in sync with that until a pass has decided so.
        """
        self._settled.discard(key)
        if asked:
            self.asked.add(key)
        self.out_of_sync.pop(key, None)
        if wanted:
            self._retired.discard(key)
        else:
            self._retired.add(key)

    def mark_all_deleted(self, keys: Iterable[Key]) -> None:
        """Note that nothing is desired any more."""
        for key in keys:
            self.note_requested(key, False)

    def take_in_hand(self, decided: set[Key]) -> None:
        """Note what of that which was asked for the pass that runs decides on."""
        self._in_hand = decided
        self.asked -= decided

    def put_down(self) -> None:
        """Note that a pass is over: what it decided on stands in ``out_of_sync``, or is in sync."""
        self._in_hand = set()

    @property
    def unsettled(self) -> bool:
        """Whether something was asked for that no finished pass has decided on."""
        return bool(self.asked or self._in_hand)

    def of(self, key: Key) -> ObjectStatus | None:
        """Return how *key* stands, None if it is in sync."""
        return ASKED if key in self.asked or key in self._in_hand else self.out_of_sync.get(key)

    def standing(self) -> Mapping[Key, ObjectStatus]:
        """Return all that is not known to be in sync: what a pass found so, and what none has looked at yet."""
        asked = self.asked | self._in_hand
        return {**dict.fromkeys(asked, ASKED), **self.out_of_sync} if asked else self.out_of_sync

    def drift_of(self, change: Change) -> DriftKind | None:
        """Return what kind of drift a change repairs; None when the file or a fact asked for it."""
        if change.op is Op.DELETE:
            return None if change.key in self._retired else DriftKind.ORPHAN
        if change.key not in self._settled:
            return None
        return DriftKind.MISSING if change.op is Op.CREATE else DriftKind.MODIFIED

    def maybe_foreign(self, key: Key) -> bool:
        """Whether a foreign object holds *key*, or seemed to when it was to be made."""
        status = self.out_of_sync.get(key)
        exists = status is not None and status.error is not None and status.error.code == errno.EEXIST
        return exists or (status is not None and status.phase is ObjectPhase.CONFLICT)

    def due(self, change: Change, now: float, *, insist: bool) -> bool:
        """Whether *change* may be tried now; if not, its status says when. *insist* forgets refusals."""
        status = self.out_of_sync.get(change.key)
        if status is not None and not insist and _is_held_back(status, change, now):
            return False
        history = self._repairs.get(change.key)
        if history is None or self.drift_of(change) is None or (hold := history.hold_until(now)) <= now:
            return True
        actor, repairs = self._actors.get(change.key), len(history.repairs)
        drift = self.drift_of(change)
        self.out_of_sync[change.key] = ObjectStatus(
            ObjectPhase.CONTESTED, change, drift, next_at=hold, attempts=repairs, actor=actor
        )
        return False

    def note_actors(self, actors: Mapping[Key, Actor | None]) -> None:
        """Note who touched what, for the case that it becomes a fight."""
        self._actors.update({key: actor for key, actor in actors.items() if actor is not None})

    def in_sync(self, key: Key, now: float) -> None:
        """Note that *key* is as desired. A fight stays visible until it has been quiet for a while."""
        self._settled.add(key)
        history = self._repairs.get(key)
        if history is None or not history.contested(now):
            self.out_of_sync.pop(key, None)
        elif key in self.out_of_sync:
            self.out_of_sync[key] = replace(self.out_of_sync[key], next_at=None)

    def note_absent(self, key: Key) -> None:
        """Note that *key* is neither desired nor there."""
        self._retired.discard(key)
        self.out_of_sync.pop(key, None)

    def blocked(self, change: Change, waits_for: tuple[Key, ...]) -> None:
        self.out_of_sync[change.key] = ObjectStatus(
            ObjectPhase.BLOCKED, change, self.drift_of(change), waits_for=waits_for
        )

    def conflict(self, change: Change) -> None:
        """Note that a foreign object holds the key."""
        self.out_of_sync[change.key] = ObjectStatus(ObjectPhase.CONFLICT, change)

    def waiting(self, change: Change, actor: Actor | None) -> None:
        """Note a change that is not made because neod is paused."""
        self.out_of_sync[change.key] = ObjectStatus(ObjectPhase.CHANGING, change, self.drift_of(change), actor=actor)

    def settle(self, outcome: Outcome, now: float, actor: Actor | None) -> None:
        """Note what came of a change."""
        change = outcome.change
        if outcome.error is not None:
            self._refused(change, outcome.error, now)
        elif outcome.skipped:
            self.blocked(change, outcome.skipped)
        else:
            self._done(change, now, actor)

    def _refused(self, change: Change, error: KernelError, now: float) -> None:
        before = self.out_of_sync.get(change.key)
        attempts = (before.attempts if before and before.error else 0) + 1
        if error.transient or error.code in LOOK_AGAIN:
            phase, wait_s = ObjectPhase.RETRYING, 0.0 if _is_stale(error, attempts) else backoff(attempts)
        else:
            phase, wait_s = ObjectPhase.FAILED, SLOW_RETRY_S
        if error.obstacle and error.obstacle.foreign and change.op is Op.CREATE:
            phase = ObjectPhase.CONFLICT
        drift = self.drift_of(change)
        self.out_of_sync[change.key] = ObjectStatus(
            phase, change, drift, error, next_at=now + wait_s, attempts=attempts
        )

    def refused_keys(self) -> set[Key]:
        """Return what the kernel refused and is to be tried again some time."""
        return {key for key, status in self.out_of_sync.items() if status.error is not None}

    def holder(self, key: Key) -> Key | None:
        """Return what was in the way when *key* was refused, where that is known."""
        status = self.out_of_sync.get(key)
        obstacle = status.error.obstacle if status is not None and status.error is not None else None
        return obstacle.holder if obstacle else None

    def retry_now(self, keys: Iterable[Key], now: float) -> None:
        """Let what was refused be tried at once: something that it needs has just been made, or changed."""
        for key in keys:
            status = self.out_of_sync.get(key)
            if status is not None and status.error is not None:
                self.out_of_sync[key] = replace(status, next_at=now, attempts=0)

    def is_stale(self, key: Key) -> bool:
        """Whether the last refusal only says that we looked too early: the next pass looks and decides."""
        status = self.out_of_sync.get(key)
        return status is not None and status.error is not None and _is_stale(status.error, status.attempts)

    def _done(self, change: Change, now: float, actor: Actor | None) -> None:
        drift = self.drift_of(change)
        before = self.out_of_sync.pop(change.key, None)
        undone = before is None or before.phase is not ObjectPhase.BLOCKED  # else it went with what it needs
        if drift is not None and undone:
            history = self._repairs[change.key] = self._repairs.get(change.key, RepairHistory()).repaired(now)
            if history.contested(now):
                repairs, suspect = len(history.repairs), self._actors.get(change.key, actor)
                self.out_of_sync[change.key] = ObjectStatus(
                    ObjectPhase.CONTESTED, change, drift, attempts=repairs, actor=suspect, repaired=True
                )
        if change.op is Op.DELETE:
            self._retired.discard(change.key)
        else:
            self._settled.add(change.key)

    def expire_contests(self, now: float) -> None:
        """Forget fights that are over."""
        for key in [key for key, history in self._repairs.items() if not history.contested(now)]:
            if self._repairs[key].over(now):
                del self._repairs[key]
            status = self.out_of_sync.get(key)
            if status is not None and status.phase is ObjectPhase.CONTESTED and status.repaired:
                del self.out_of_sync[key]
        self._actors = {key: actor for key, actor in self._actors.items() if key in self._repairs}

    def next_due(self) -> float | None:
        """Return the CLOCK_BOOTTIME of the earliest attempt; None when none is planned."""
        return min((t.next_at for t in self.out_of_sync.values() if t.next_at is not None), default=None)

    def overdue(self, now: float) -> Iterator[Key]:
        """Yield what is to be tried again by *now*, once: the attempt itself plans the next."""
        for key, status in list(self.out_of_sync.items()):
            if status.next_at is not None and status.next_at <= now:
                self.out_of_sync[key] = replace(status, next_at=None)
                yield key

    def blocked_keys(self) -> Mapping[Key, tuple[Key, ...]]:
        """Return what is blocked, and by what."""
        return {key: t.waits_for for key, t in self.out_of_sync.items() if t.phase is ObjectPhase.BLOCKED}


def _is_held_back(status: ObjectStatus, change: Change, now: float) -> bool:
    """Whether *change* was refused and waits. Another change of the same object may be accepted: it does not wait."""
    refused, next_at = status.change, status.next_at
    if status.error is None or refused is None or next_at is None or next_at <= now:
        return False
    return (refused.op, refused.after) == (change.op, change.after)


def _is_stale(error: KernelError, attempts: int) -> bool:
    return attempts == 1 and error.code in LOOK_AGAIN and error.obstacle is None
